//! The link between QEMU and the ledger: a count for each core, increased by whole translated blocks.
//!
//! A block that a fault or a page's end cuts short counts whole; nothing else does. An x86_64 string instruction counts
//! once for each repetition.

use embodios_abi::{Mark, layout};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::ledger::{Count, Ledger};
use crate::qemu::{self, Block, Id, Info};

/// Most cores that can be counted.
const CORES: usize = 256;

/// The plugin's API version, which QEMU compares to those that it offers before anything else.
// SAFETY: no other symbol has this name: it is QEMU's for this purpose.
#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = qemu::API;

/// One core's count. Written by the thread that emulates the core, read by all.
#[repr(align(128))]
struct Core {
    engine: AtomicU64,
    kernel: AtomicU64,
}

static COUNTS: [Core; CORES] =
    [const { Core { engine: AtomicU64::new(0), kernel: AtomicU64::new(0) } }; CORES];
static LEDGER: Mutex<Ledger> = Mutex::new(Ledger::new());
static SETUP: OnceLock<Setup> = OnceLock::new();

/// The setup that QEMU gave at the start.
struct Setup {
    cores: usize,
    decode: fn(&[u8]) -> Option<Mark>,
    out: PathBuf,
}

/// Instructions of a block, with their mark and privilege, in the word that QEMU keeps for a callback.
#[derive(Clone, Copy)]
struct Word(usize);

impl Word {
    /// `count` instructions, with a mark among them or none.
    const fn new(count: usize, kernel: bool, mark: Option<Mark>) -> Self {
        let mark = match mark {
            Some(mark) => mark as usize,
            None => 0,
        };
        Self(count << 32 | mark << 1 | kernel as usize)
    }

    const fn as_pointer(self) -> *mut c_void {
        std::ptr::without_provenance_mut(self.0)
    }

    fn from_pointer(word: *mut c_void) -> Self {
        Self(word.addr())
    }

    const fn count(self) -> u64 {
        self.0 as u64 >> 32
    }

    const fn mark(self) -> Option<Mark> {
        Mark::from_number(self.0 as u32 >> 1)
    }

    const fn counter(self, core: &Core) -> &AtomicU64 {
        if self.0 & 1 == 1 { &core.kernel } else { &core.engine }
    }
}

fn ledger() -> MutexGuard<'static, Ledger> {
    LEDGER.lock().unwrap_or_else(PoisonError::into_inner)
}

extern "C" fn translated(_: Id, block: *mut Block) {
    let Some(Setup { decode, .. }) = SETUP.get() else { return };
    // SAFETY: QEMU translates this block now; indices are below its number of instructions.
    unsafe {
        let count = qemu::instructions(block);
        let kernel = qemu::address(block) < layout::ENGINE_START;
        let word = Word::new(count, kernel, None);
        qemu::on_block(block, executed, qemu::NO_REGISTERS, word.as_pointer());
        for index in 0..count {
            let instruction = qemu::instruction(block, index);
            if let Some(mark) = qemu::with_bytes(instruction, decode) {
                let word = Word::new(count - index, kernel, Some(mark));
                qemu::on_instruction(instruction, marked, qemu::NO_REGISTERS, word.as_pointer());
            }
        }
    }
}

extern "C" fn executed(core: c_uint, word: *mut c_void) {
    let word = Word::from_pointer(word);
    let Some(core) = COUNTS.get(core as usize) else { return };
    let counter = word.counter(core);
    // One thread writes it: no need for a read-modify-write.
    counter.store(counter.load(Relaxed) + word.count(), Relaxed);
}

extern "C" fn marked(core: c_uint, word: *mut c_void) {
    let word = Word::from_pointer(word);
    let (Some(Setup { cores, .. }), Some(mark)) = (SETUP.get(), word.mark()) else { return };
    // The mark and what follows in its block have been counted, and belong to the next phase.
    let own = &COUNTS[core as usize];
    let counter = word.counter(own);
    let counted = counter.load(Relaxed);
    counter.store(counted - word.count(), Relaxed);
    let now = COUNTS[..*cores]
        .iter()
        .map(|core| Count { engine: core.engine.load(Relaxed), kernel: core.kernel.load(Relaxed) });
    ledger().mark(mark, now.collect());
    counter.store(counted, Relaxed);
}

extern "C" fn finished(_: Id, _: *mut c_void) {
    let Some(Setup { out, .. }) = SETUP.get() else { return };
    let text = serde_json::to_vec(&*ledger());
    if let Err(error) = text.map_err(Into::into).and_then(|text| std::fs::write(out, text)) {
        eprintln!("instructions: cannot write {}: {error}", out.display());
    }
}

/// The plugin's entry point, which QEMU calls once, before the guest starts.
///
/// # Safety
/// The arguments must be QEMU's: valid for the call.
// SAFETY: no other symbol has this name: it is QEMU's for this purpose.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    plugin: Id,
    info: *const Info,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    // SAFETY: QEMU's record lives during the call.
    let info = unsafe { &*info };
    let arguments = (0..usize::try_from(count).unwrap_or(0)).map(|index| {
        // SAFETY: there are `count` arguments, each a string.
        unsafe { CStr::from_ptr(*arguments.add(index)) }.to_string_lossy().into_owned()
    });
    match setup(info, arguments) {
        Ok(setup) => {
            SETUP.get_or_init(|| setup);
            // SAFETY: the callbacks are functions of this library, which QEMU never unloads.
            unsafe {
                qemu::on_translation(plugin, translated);
                qemu::at_exit(plugin, finished, std::ptr::null_mut());
            }
            0
        }
        Err(reason) => {
            eprintln!("instructions: {reason}");
            1
        }
    }
}

fn setup(info: &Info, arguments: impl Iterator<Item = String>) -> Result<Setup, String> {
    let Info { oldest, newest, .. } = *info;
    if !(oldest..=newest).contains(&qemu::API) {
        return Err(format!("this QEMU offers plugin API {oldest} to {newest}, not {}", qemu::API));
    }
    if !info.system_emulation {
        return Err("this QEMU emulates no machine".to_owned());
    }
    // SAFETY: QEMU's name of the target is a string that lives during the call.
    let target = unsafe { CStr::from_ptr(info.target_name) };
    let decode = match target.to_bytes() {
        b"aarch64" => Mark::in_aarch64,
        b"x86_64" => Mark::in_x86_64,
        _ => return Err(format!("{target:?} has no marks")),
    };
    let cores = usize::try_from(info.cores).ok().filter(|cores| (1..=CORES).contains(cores));
    let cores = cores.ok_or_else(|| format!("{} cores: from 1 to {CORES} can be counted", info.cores))?;
    let mut out = None;
    for argument in arguments {
        match argument.strip_prefix("out=") {
            Some(path) => out = Some(path.into()),
            None => return Err(format!("unknown argument {argument:?}")),
        }
    }
    Ok(Setup { cores, decode, out: out.ok_or("the argument out=FILE is missing")? })
}
