//! GICv3 and GICv4 in their GICv3 ways (Arm IHI 0069), on the arm-gic crate. All interrupts are in
//! group 1 of the kernel's security state.

use super::MAX_REDISTRIBUTORS;
use crate::{HwCpuId, PhysRange};
use aarch64_cpu::asm::barrier;
use arm_gic::gicv3::registers::{Gicd, GicrSgi};
use arm_gic::gicv3::{
    GicCpuInterface, GicDistributor, GicRedistributor, GicRedistributorIterator, SgiTarget, SgiTargetGroup,
};
use arm_gic::{IntId, InterruptGroup, Trigger, UniqueMmioPointer};
use core::arch::asm;
use core::ptr::NonNull;
use spin::Mutex;

/// Cores that one write of ICC_SGI1R_EL1 can name: Aff0 is 0 to 15 in its target list.
const TARGETS: u64 = 16;

pub(super) struct GicV3 {
    distributor: Mutex<GicDistributor<'static>>,
    /// Held by the one core that looks for its own frame.
    redistributors: Mutex<[Option<PhysRange>; MAX_REDISTRIBUTORS]>,
}

impl GicV3 {
    /// # Safety
    /// The ranges are this machine's GICD and GICRs, mapped as device memory, driven by nobody else.
    pub(super) unsafe fn new(
        distributor: PhysRange,
        redistributors: [Option<PhysRange>; MAX_REDISTRIBUTORS],
    ) -> Self {
        let registers = pointer::<Gicd>(distributor);
        // SAFETY: by the caller, this is the only handle on the distributor.
        let mut distributor = GicDistributor::new(unsafe { UniqueMmioPointer::new(registers) });
        distributor.configure_default_settings();
        Self { distributor: Mutex::new(distributor), redistributors: Mutex::new(redistributors) }
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
    let Ok(frames) = frames else { panic!("the redistributors at {region} are of no version 3 or 4 layout") };
    frames
        .take((region.length() / size_of::<GicrSgi>() as u64) as usize)
        .find(|frame| frame.typer().core_mpidr() == hardware.0)
}

fn pointer<T>(range: PhysRange) -> NonNull<T> {
    NonNull::new(range.start.identity().0 as *mut T).expect("no controller lies at address 0")
}

fn id(number: u32) -> IntId {
    IntId::try_from(number).expect("numbers come from the controller or are checked by the board")
}

pub(super) fn can_interrupt(hardware: HwCpuId) -> bool {
    hardware.0 & 0xff < TARGETS
}

pub(super) fn send(number: u32, target: HwCpuId) {
    let [affinity0, affinity1, affinity2, _, affinity3, ..] = target.0.to_le_bytes();
    let target = SgiTarget::List { affinity3, affinity2, affinity1, target_list: 1 << affinity0 };
    GicCpuInterface::send_sgi(IntId::sgi(number), target, SgiTargetGroup::CurrentGroup1)
        .expect("software-generated interrupts have ids below 16");
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
