//! llama.cpp's server on the host, with as many slots as there are streams at most.

use anyhow::{Result, ensure};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::{self, Running};
use crate::serve::comes_up;

/// Time for it to load the model.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server that runs until it is dropped.
pub struct LlamaServer {
    _running: Running,
    /// Its address.
    pub address: SocketAddr,
}

impl LlamaServer {
    /// Starts it, and waits until it is healthy. `context` is the positions of each of its `slots`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(
        program: &Path,
        model: &Path,
        address: SocketAddr,
        threads: u32,
        slots: u32,
        context: u32,
    ) -> Result<Self> {
        let mut command = Command::new(program);
        let number = |number: u32| number.to_string();
        command.arg("-m").arg(model).args(["-t", &number(threads), "-np", &number(slots)]);
        command.args(["--cont-batching", "-c", &number(slots * context)]);
        command.args(["--host", &address.ip().to_string(), "--port", &address.port().to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut running = Running::spawn(&mut command)?;
        let is_there = comes_up(&mut running, address, PATIENCE);
        ensure!(is_there, "--llama-server: `{}` does not come to serve", process::shown(&command));
        Ok(Self { _running: running, address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_ends_is_named() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let server = LlamaServer::start(Path::new("true"), Path::new("m.gguf"), address, 2, 32, 96);
        let error = server.err().expect("it has ended").to_string();
        assert!(error.contains("`true -m m.gguf -t 2 -np 32"), "{error}");
    }
}
