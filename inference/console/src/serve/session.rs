//! The beginning and the end of serving in a session of the console.

use embodios_pool::platform::is_after;

use super::{Reader, Service};
use crate::Console;
use crate::error::CommandError;
use crate::start::StartOptions;

/// Said where no source of random numbers is.
const NO_SEED: &str = "no random numbers: neither the processor nor a device has any, and numbers of connections and \
                       requests can be guessed";

impl Console<'_> {
    /// Begins to serve, where there is a network and a model.
    pub(crate) fn serve(&mut self, options: &StartOptions<'_>) -> Result<(), CommandError> {
        let (Some(network), Ok(loaded)) = (self.start.network, &self.loaded) else { return Ok(()) };
        let pool = self.workers.pool(None)?;
        let service =
            Service::open(self.platform, self.start, options, self.wall_clock, network, loaded, pool)?;
        if self.start.seed.is_none() {
            self.output.note(format_args!("{NO_SEED}\n"));
        }
        let reader = Reader::start(self.platform, service.doorbell())?;
        self.input.read_by(reader);
        self.service = Some(service);
        Ok(())
    }

    /// Ends what is served, before the machine goes off.
    pub(crate) fn drain(&mut self) -> Result<(), CommandError> {
        let Some(service) = &mut self.service else { return Ok(()) };
        let (platform, acknowledged) = (self.platform, self.input.acknowledged());
        service.drain(self.workers.pool(None)?, &|| is_after(platform.interrupts(), acknowledged));
        Ok(())
    }
}
