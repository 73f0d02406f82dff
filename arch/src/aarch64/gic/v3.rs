//! GICv3 and GICv4 in their GICv3 ways (Arm IHI 0069), on the arm-gic crate. All interrupts are in
//! group 1 of the kernel's security state.

use crate::{HwCpuId, MAX_REDISTRIBUTORS, PhysRange};
use aarch64_cpu::asm::barrier;
use arm_gic::gicv3::registers::{Gicd, GicrSgi};
use arm_gic::gicv3::{GicCpuInterface, GicDistributor, GicRedistributor, GicRedistributorIterator};
use arm_gic::{IntId, InterruptGroup, Trigger, UniqueMmioPointer};
use core::arch::asm;
use core::ptr::NonNull;
use spin::Mutex;

/// Values of Aff0 that one target list of ICC_SGI1R_EL1 names; its range selector (RS) says which sixteen.
const TARGETS: u64 = 16;
/// Bytes of the distributor's registers, and of a redistributor's first frame.
pub(super) const BYTES: u64 = 0x1_0000;
/// Offset of GICD_TYPER, and its bit RSS: the distributor understands the range selector.
const TYPER: u64 = 4;
const TYPER_RSS: u32 = 1 << 26;
/// ICC_CTLR_EL1.RSS: so does the CPU interface.
const CONTROL_RSS: u64 = 1 << 18;

pub(super) struct GicV3 {
    distributor: Mutex<GicDistributor<'static>>,
    /// Runs of frames, locked by the one core that looks for its own frame.
    redistributors: Mutex<[Option<PhysRange>; MAX_REDISTRIBUTORS]>,
    /// Whether cores with any Aff0 can be sent an interrupt, and not only those below [`TARGETS`].
    has_ranges: bool,
}

impl GicV3 {
    /// # Safety
    /// The ranges are this machine's GICD and GICRs, mapped as device memory, driven by nothing else.
    pub(super) unsafe fn new(
        distributor: PhysRange,
        redistributors: [Option<PhysRange>; MAX_REDISTRIBUTORS],
    ) -> Self {
        let typer = (distributor.start.identity().0 + TYPER) as *const u32;
        // SAFETY: a register of the distributor (caller); reading it changes nothing.
        let has_ranges = unsafe { typer.read_volatile() } & TYPER_RSS != 0 && control() & CONTROL_RSS != 0;
        let registers = pointer::<Gicd>(distributor);
        // SAFETY: by the caller, this is the only handle on the distributor.
        let mut distributor = GicDistributor::new(unsafe { UniqueMmioPointer::new(registers) });
        distributor.configure_default_settings();
        Self { distributor: Mutex::new(distributor), redistributors: Mutex::new(redistributors), has_ranges }
    }

    /// Enables `private` interrupts and the CPU interface of the calling core.
    pub(super) fn init_core(&self, hardware: HwCpuId, private: &[u32]) {
        GicCpuInterface::enable_system_register_el1();
        barrier::isb(barrier::SY);
        let regions = self.redistributors.lock();
        // SAFETY: `new`'s caller promises the frames; the lock makes this the only handle on them.
        let mine = regions.iter().flatten().find_map(|&region| unsafe { find(region, hardware) });
        let Some(mut mine) = mine else { panic!("the GICv3 has no redistributor for core {hardware}") };
        mine.power_on();
        // The only refusal says that firmware has woken it already.
        let _awake = mine.mark_core_awake();
        mine.configure_default_settings();
        for &number in private {
            mine.enable_interrupt(id(number), true).expect("a private interrupt id");
        }
        // Ending an interrupt also deactivates it.
        // SAFETY: enables nothing that is not set up.
        unsafe { asm!("msr icc_ctlr_el1, xzr", options(nomem, nostack, preserves_flags)) };
        GicCpuInterface::set_priority_mask(0xff);
        GicCpuInterface::enable_group1(true);
        barrier::isb(barrier::SY);
    }

    /// Whether a core has a redistributor and can be sent an interrupt.
    pub(super) fn can_interrupt(&self, hardware: HwCpuId) -> bool {
        let regions = self.redistributors.lock();
        // SAFETY: as in `init_core`; the frame that is found is not kept.
        let has_frame = regions.iter().flatten().any(|&region| unsafe { find(region, hardware) }.is_some());
        has_frame && (self.has_ranges || hardware.0 & 0xff < TARGETS)
    }

    pub(super) fn enable_device(&self, number: u32, target: HwCpuId) {
        let mut distributor = self.distributor.lock();
        let id = id(number);
        let set = distributor
            .set_trigger(id, Trigger::Level)
            .and_then(|()| distributor.set_routing(id, Some(target.0)))
            .and_then(|()| distributor.enable_interrupt(id, true));
        set.expect("a shared interrupt id");
    }
}

/// The frame of the core with this affinity in one run of frames.
///
/// # Safety
/// `region` holds redistributor frames of which there is no other handle.
unsafe fn find(region: PhysRange, hardware: HwCpuId) -> Option<GicRedistributor<'static>> {
    // SAFETY: handed on.
    let frames = unsafe { GicRedistributorIterator::new(pointer::<GicrSgi>(region)) };
    frames
        .ok()?
        .take((region.length() / size_of::<GicrSgi>() as u64) as usize)
        .find(|frame| frame.typer().core_mpidr() == hardware.0)
}

fn pointer<T>(range: PhysRange) -> NonNull<T> {
    NonNull::new(range.start.identity().0 as *mut T).expect("no controller lies at address 0")
}

fn id(number: u32) -> IntId {
    IntId::try_from(number).expect("numbers come from the controller or are checked by the board")
}

/// ICC_CTLR_EL1 of the calling core.
fn control() -> u64 {
    GicCpuInterface::enable_system_register_el1();
    barrier::isb(barrier::SY);
    let control;
    // SAFETY: reads a register that was just made accessible.
    unsafe { asm!("mrs {}, icc_ctlr_el1", out(reg) control, options(nomem, nostack, preserves_flags)) };
    control
}

/// ICC_SGI1R_EL1 (IHI 0069, 12.2.19): the interrupt, the affinity levels, the range of Aff0, the core in that range.
/// Written here because the arm-gic crate leaves the range at 0.
pub(super) fn send(number: u32, target: HwCpuId) {
    let [affinity0, affinity1, affinity2, _, affinity3, ..] = target.0.to_le_bytes().map(u64::from);
    let (range, core) = (affinity0 / TARGETS, affinity0 % TARGETS);
    let command = affinity3 << 48
        | range << 44
        | affinity2 << 32
        | u64::from(number) << 24
        | affinity1 << 16
        | 1 << core;
    // SAFETY: interrupts the core that was asked for, which is set up to take it.
    unsafe { asm!("msr icc_sgi1r_el1, {}", in(reg) command, options(nostack, preserves_flags)) };
}

pub(super) fn acknowledge() -> u32 {
    let taken = GicCpuInterface::get_and_acknowledge_interrupt(InterruptGroup::Group1);
    // The device must not see accesses of the handler before the acknowledgement.
    barrier::dsb(barrier::SY);
    taken.unwrap_or(IntId::SPECIAL_NONE).raw_value()
}

pub(super) fn end(raw: u32) {
    GicCpuInterface::end_interrupt(id(raw), InterruptGroup::Group1);
    barrier::isb(barrier::SY);
}
