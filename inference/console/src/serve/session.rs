//! The beginning and the end of serving in a session of the console.

use embodios_pool::platform::is_after;

use super::{Reader, Service};
use crate::Console;
use crate::error::CommandError;
use crate::start::StartOptions;

impl Console<'_> {
    /// Begins to serve, where there is a network and a model.
    pub(crate) fn serve(&mut self, options: &StartOptions<'_>) -> Result<(), CommandError> {
        let (Some(network), Ok(loaded)) = (self.start.network, &self.loaded) else { return Ok(()) };
        let pool = self.workers.pool(None)?;
        let service = Service::open(self.platform, self.start, options, network, loaded, pool)?;
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
