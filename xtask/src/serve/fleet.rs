//! `cargo xtask fleet`: several guests on this host behind HAProxy, with `deploy/haproxy.cfg`, for trying.

use anyhow::{Context, Result, bail};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use super::plan::Plan;
use super::{ASK, check_free, is_healthy};
use crate::cli::FleetOptions;
use crate::guest::Ending;
use crate::process::{self, Running};
use crate::setup::Consent;
use crate::terminal;
use crate::threads;
use crate::workspace::Workspace;

/// The line of the configuration that says where the balancer is, but for the address.
const BIND: &str = "    bind ";

/// Boots the guests, then the balancer once all are healthy. Ends when the guests have: by Ctrl-C, or by themselves.
///
/// # Errors
/// When a guest or the balancer cannot be started.
pub fn run(workspace: &Workspace, consent: Consent, options: &FleetOptions) -> Result<u8> {
    let Some(haproxy) = find_haproxy() else {
        bail!("there is no haproxy on this host; Debian's package is called that")
    };
    let at = |offset: u16| -> Result<SocketAddr> {
        let port = options.port.checked_add(offset).with_context(|| format!("--port {}", options.port))?;
        Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    };
    let front = at(0)?;
    let guests = (1..=options.replicas).map(at).collect::<Result<Vec<_>>>()?;
    guests.iter().chain([&front]).try_for_each(|&address| check_free(address))?;
    let plan = Plan::new(workspace, consent, &options.guest)?;
    let template = workspace.root.join("deploy/haproxy.cfg");
    let template =
        std::fs::read_to_string(&template).with_context(|| format!("cannot read {}", template.display()))?;
    let file = workspace.output(plan.arch()).join("haproxy.cfg");
    std::fs::write(&file, configuration(&template, front, &guests))?;
    process::defer_interrupts();
    let screen = Mutex::new(());
    let endings = thread::scope(|scope| {
        let plan = &plan;
        let screen = &screen;
        let boots: Vec<_> = (1..)
            .zip(&guests)
            .map(|(number, &address)| {
                scope.spawn(move || {
                    let mut lines = Lines { number, screen, rest: Vec::new() };
                    let mut sink = |bytes: &[u8]| lines.write(bytes);
                    plan.boot(address, options.timeout, process::deferred_interrupt, &mut sink, |_| {})
                })
            })
            .collect();
        while !guests.iter().all(|&address| is_healthy(address)) {
            if boots.iter().any(thread::ScopedJoinHandle::is_finished) {
                break;
            }
            thread::sleep(ASK);
        }
        let mut command = Command::new(&haproxy);
        command.arg("-db").arg("-q").arg("-f").arg(&file);
        let balancer = Running::spawn(&mut command)?;
        eprintln!("xtask: {} guests behind http://{front}/ (Ctrl-C ends them)", guests.len());
        let endings = boots.into_iter().map(threads::join).collect::<Result<Vec<Ending>>>();
        drop(balancer);
        endings
    })?;
    for reason in endings.iter().filter_map(Ending::reason) {
        eprintln!("xtask: {reason}");
    }
    Ok(endings.iter().map(Ending::code).max().unwrap_or(0))
}

/// HAProxy's program: Debian keeps it where only root looks.
fn find_haproxy() -> Option<std::path::PathBuf> {
    let usual = std::path::Path::new("/usr/sbin/haproxy");
    process::find_program("haproxy").or_else(|| usual.is_file().then(|| usual.to_owned()))
}

/// The configuration with its addresses.
fn configuration(template: &str, front: SocketAddr, guests: &[SocketAddr]) -> String {
    let line = |line: &str| match line.starts_with(BIND) {
        true => format!("{BIND}{front}\n"),
        false => format!("{line}\n"),
    };
    let servers = (1..).zip(guests).map(|(number, address)| format!("    server guest{number} {address}\n"));
    template.lines().map(line).chain(servers).collect()
}

/// A guest's console, by whole lines that say whose they are.
struct Lines<'a> {
    number: usize,
    screen: &'a Mutex<()>,
    rest: Vec<u8>,
}

impl Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let _turn = self.screen.lock();
            let mut shown = format!("{}: ", self.number).into_bytes();
            shown.extend(line);
            terminal::write(&shown)?;
        }
        io::stdout().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_balancer_knows_where_it_is_and_every_guest() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let template = "frontend api\n    bind 127.0.0.1:1\nbackend machines\n    balance leastconn\n";
        assert_eq!(
            configuration(template, at(8000), &[at(8001), at(8002)]),
            "frontend api\n    bind 127.0.0.1:8000\nbackend machines\n    balance leastconn\n    \
             server guest1 127.0.0.1:8001\n    server guest2 127.0.0.1:8002\n"
        );
    }
}
