//! `cargo xtask serve`: builds, boots a guest that serves, says how to call it, and stops it without losing an answer.

use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::accel::{AccelChoice, Host};
use crate::arch::Arch;
use crate::build::{self, Program};
use crate::cli::ServeOptions;
use crate::command_line::{self, Manner};
use crate::guest;
use crate::host_cores;
use crate::input::InputSource;
use crate::machine::{Console, Machine, MachineKind};
use crate::memory::MemorySize;
use crate::model::Model;
use crate::modules::{Loaded, Modules};
use crate::network::Network;
use crate::process;
use crate::setup::{self, Consent, Tool};
use crate::symbols::Symbols;
use crate::terminal;
use crate::topology::Topology;
use crate::workspace::Workspace;

/// Time between two questions whether the guest is healthy.
const ASK: Duration = Duration::from_millis(20);
/// Time that an answer to it may take.
const ANSWER: Duration = Duration::from_secs(2);

/// Runs one guest until Ctrl-C, or until a client has it drained.
///
/// # Errors
/// When the guest cannot be started; its ending is the returned status.
pub fn run(workspace: &Workspace, consent: Consent, options: &ServeOptions) -> Result<u8> {
    let kind = kind(options)?;
    let arch = kind.arch();
    let host = Host::detect();
    let accel = match options.accel {
        // No firmware of this machine takes seconds where ring 0 is emulated, so that any KVM is the faster one.
        AccelChoice::Auto if kind == MachineKind::Microvm => {
            host.choose(AccelChoice::Kvm, arch).or_else(|_| host.choose(AccelChoice::Auto, arch))?
        }
        choice => host.choose(choice, arch)?,
    };
    let address = SocketAddr::new(options.host, options.port);
    // QEMU's own words for a port in use name neither the port nor a remedy.
    TcpListener::bind(address).with_context(|| format!("--port {}: {address} is not free", options.port))?;
    let model = Model::resolve(workspace, consent, &options.model)?;
    let files: Vec<_> = options.api_key.iter().cloned().collect();
    let modules = Modules::gather(&model, &files, &workspace.output(arch))?;
    let smp = options.smp.clone().unwrap_or_else(|| Topology::from(host_cores::count() as u32));
    let own_cores = command_line::has_own_cores(accel, smp.cores());
    let mut words = options.append.clone();
    if let Some(name) = options.api_key.as_deref().and_then(|path| path.file_name()).and_then(OsStr::to_str) {
        words.push(format!("api-key={name}"));
    }
    let manner = Manner { flow_control: true, ..Manner::default() };
    let command_line = command_line::build(&modules, own_cores, &words, manner, None)?;
    let module = modules.file.as_ref().map(Loaded::path);
    let memory = match options.memory {
        Some(memory) => memory,
        None => MemorySize::for_serving(arch, smp.cores(), module)?,
    };
    let mut machine = Machine {
        kind,
        gic: None,
        el2: false,
        cpu: None,
        accel,
        smp: &smp,
        memory,
        kernel: "kernel".as_ref(),
        module,
        command_line: &command_line,
        console: Console::Script,
        counting: None,
        network: Some(Network { forward: Some(address), pci: false }),
        gdb: false,
        extra: &options.qemu_args,
    };
    machine.arguments()?;
    setup::require(Tool::Qemu(arch), consent)?;
    let program = if options.release { Program::Engine } else { Program::Quick };
    let built = build::build_with(workspace, arch, program)?;
    machine.kernel = &built.image;
    let mut qemu = Command::new(arch.qemu());
    // A Ctrl-C of the terminal is not for QEMU, which would end at once.
    qemu.args(machine.arguments()?).process_group(0);
    process::defer_interrupts();
    let has_key = options.api_key.is_some();
    let announce = move |_| drop(thread::spawn(move || announce(address, has_key)));
    let mut symbols = Symbols::new(&built, &workspace.root);
    let input = InputSource::Reader(Box::new(PowerOff { text: b"poweroff\n" }));
    let ending = guest::run(
        &mut qemu,
        Console::Script,
        options.timeout,
        Some(input),
        &mut symbols,
        &mut |bytes| terminal::write(bytes),
        announce,
    )?;
    if let Some(reason) = ending.reason() {
        eprintln!("xtask: {reason}");
    }
    Ok(ending.code())
}

/// The machine: on a PC the one whose firmware takes no seconds.
fn kind(options: &ServeOptions) -> Result<MachineKind> {
    match (options.machine, options.arch) {
        (None, None | Some(Arch::X86_64)) => Ok(MachineKind::Microvm),
        (machine, arch) => MachineKind::choose(arch, machine),
    }
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
pub fn is_healthy(address: SocketAddr) -> bool {
    let ask = || -> io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: guest\r\nConnection: close\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}

/// The guest's input: nothing until Ctrl-C, then the command that drains it and ends it.
struct PowerOff {
    text: &'static [u8],
}

impl Read for PowerOff {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !process::take_interrupt() {
            thread::sleep(ASK);
        }
        eprintln!("xtask: draining; Ctrl-C again ends it at once");
        let text = std::mem::take(&mut self.text);
        let count = text.len().min(buffer.len());
        buffer[..count].copy_from_slice(&text[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
