//! Reports faults: the kernel's end the machine, the engine's end the engine.

use crate::{engine, kprintln, memory, per_cpu, power, user};
use core::fmt;
use embodios_arch::paging::PAGE;
use embodios_arch::{Fault, FaultKind, VirtAddr, stacks};

/// Deepest backtrace.
const MAX_FRAMES: usize = 32;

/// A fault in words.
struct Description<'a>(&'a Fault<'a>);

impl fmt::Display for Description<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind {
            FaultKind::Page { write, execute, present } => {
                let tried = match (write, execute) {
                    (true, _) => "write to",
                    (false, true) => "execution at",
                    (false, false) => "read of",
                };
                let why = if present { "protected" } else { "unmapped" };
                write!(f, "{tried} {why} address")?;
            }
            FaultKind::KernelStackOverflow => f.write_str("kernel stack overflow: guard page hit")?,
            FaultKind::Hardware(name) => write!(f, "{name}: the hardware reports an error")?,
            FaultKind::Other(name) => f.write_str(name)?,
        }
        match self.0.address {
            Some(address) => write!(f, " {:#x}", address.0),
            None => Ok(()),
        }
    }
}

/// Handles a fault; the thread or the machine does not go on.
pub fn handle(fault: &Fault<'_>) -> ! {
    if fault.from_user && !matches!(fault.kind, FaultKind::Hardware(_)) {
        let core = per_cpu::this();
        engine::restart(engine::End::Crash, || {
            kprintln!("engine fault on core {} ({}): {}", core.cpu, core.hardware, Description(fault));
            report(fault);
        })
    }
    power::die(|| {
        match per_cpu::try_this() {
            Some(core) => {
                kprintln!("kernel fault on core {} ({}): {}", core.cpu, core.hardware, Description(fault))
            }
            None => kprintln!("kernel fault: {}", Description(fault)),
        }
        report(fault);
    })
}

fn report(fault: &Fault<'_>) {
    kprintln!("{}", fault.registers);
    kprintln!("  at {:#018x}", fault.pc.0);
    let readable = |address: u64| {
        if fault.from_user {
            return user::may_read(address, 16);
        }
        // A frame record of the kernel lies on one of its stacks. The memory lock may be held by the faulting
        // code itself, so mappings are not asked; the stacks' bounds are enough.
        stacks::contain(per_cpu::all().len(), address, 16)
    };
    let mut frame = fault.frame_pointer;
    for _ in 0..MAX_FRAMES {
        if !frame.0.is_multiple_of(8) || frame.0 < PAGE || !readable(frame.0) {
            break;
        }
        let (caller, return_address) = memory::read_frame_record(frame);
        if return_address == 0 {
            break;
        }
        kprintln!("  at {return_address:#018x}");
        // Callers' frames lie above; anything else is not a chain.
        if caller <= frame.0 {
            break;
        }
        frame = VirtAddr(caller);
    }
}
