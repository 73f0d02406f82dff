//! `cargo xtask serve`: builds, boots a guest that serves, says how to call it, and stops it without losing an answer.

pub mod fleet;
pub mod plan;

use anyhow::{Context, Result};
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use crate::cli::ServeOptions;
use crate::client::{Client, get};
use crate::process::{self, Running};
use crate::setup::Consent;
use crate::terminal;
use crate::workspace::Workspace;
use plan::Plan;

/// Time between two questions whether a guest is healthy.
const ASK: Duration = Duration::from_millis(20);
/// Time that an answer to it may take.
const ANSWER: Duration = Duration::from_secs(2);

/// Runs one guest until Ctrl-C, or until a client has it drained.
///
/// # Errors
/// When the guest cannot be started; its ending is the returned status.
pub fn run(workspace: &Workspace, consent: Consent, options: &ServeOptions) -> Result<u8> {
    let address = SocketAddr::new(options.host, options.port);
    check_free(address)?;
    let plan = Plan::new(workspace, consent, &options.guest)?;
    process::defer_interrupts();
    let has_key = options.guest.api_key.is_some();
    let announce = move |_| drop(thread::spawn(move || announce(address, has_key)));
    let mut sink = |bytes: &[u8]| terminal::write(bytes);
    let ending = plan.boot(address, options.timeout, process::deferred_interrupt, &mut sink, announce)?;
    if let Some(reason) = ending.reason() {
        eprintln!("xtask: {reason}");
    }
    Ok(ending.code())
}

/// Refuses an address that somebody else has: QEMU's own words for that name neither the port nor a remedy.
///
/// # Errors
/// When it is not free.
pub fn check_free(address: SocketAddr) -> Result<()> {
    TcpListener::bind(address)
        .map(drop)
        .with_context(|| format!("{address} is not free; --port takes another port"))
}

/// An address of this host whose port nobody has.
///
/// # Errors
/// When there is none.
pub fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    listener.local_addr().context("a socket without an address")
}

/// Says where the guest is once it is healthy.
fn announce(address: SocketAddr, has_key: bool) {
    while !is_healthy(address) {
        thread::sleep(ASK);
    }
    let key = if has_key { " -H \"Authorization: Bearer $KEY\"" } else { "" };
    eprintln!(
        "xtask: serving at http://{address}/ (Ctrl-C ends it)\n\
         xtask: curl http://{address}/v1/completions{key} -H 'Content-Type: application/json' \\\n\
         xtask:   -d '{{\"prompt\": \"Once upon a time\", \"max_tokens\": 64}}'"
    );
}

/// Whether `/health` answers with 200.
fn is_healthy(address: SocketAddr) -> bool {
    let ask = || Client::connect_alone(address, ANSWER)?.ask(get("/health", "Connection: close\r\n"));
    ask().is_ok_and(|answer| answer.status == 200)
}

/// Waits until the server that runs at `address` is healthy. False: it has ended before, or time is over.
pub fn comes_up(server: &mut Running, address: SocketAddr, most: Duration) -> bool {
    let end = Instant::now() + most;
    while !is_healthy(address) {
        if server.has_ended() || Instant::now() > end {
            return false;
        }
        thread::sleep(ASK);
    }
    true
}

/// A guest's input: nothing until its end is due, then the command that drains it and ends it.
struct PowerOff<F> {
    is_due: F,
    text: &'static [u8],
}

impl<F: FnMut() -> bool> PowerOff<F> {
    const fn new(is_due: F) -> Self {
        Self { is_due, text: b"poweroff\n" }
    }
}

impl<F: FnMut() -> bool> Read for PowerOff<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !(self.is_due)() {
            thread::sleep(ASK);
        }
        let text = std::mem::take(&mut self.text);
        let count = text.len().min(buffer.len());
        buffer[..count].copy_from_slice(&text[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn health_is_the_status_of_an_answer() {
        let serve = |answer: &'static [u8]| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = listener.local_addr().expect("it has one");
            thread::spawn(move || {
                let (mut stream, _) = listener.accept().expect("a caller");
                let mut request = [0; 64];
                let _ = stream.read(&mut request);
                let _ = stream.write_all(answer);
            });
            is_healthy(address)
        };
        assert!(serve(b"HTTP/1.1 200 OK\r\n\r\n"));
        assert!(!serve(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"));
        assert!(!serve(b"HTTP"));
    }
}
