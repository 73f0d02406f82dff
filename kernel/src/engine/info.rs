//! Writes [`EngineInfo`] and the data it points to into frames of their own, mapped read-only.

use super::{Engine, LoadError, Payload};
use crate::memory::Memory;
use crate::per_cpu::{self, PerCpu};
use crate::scheduler;
use crate::topology::{self, Place};
use crate::{affinity, command_line, devices};
use alloc::vec::Vec;
use bytemuck::{Pod, bytes_of};
use core::sync::atomic::Ordering;
use embodios_abi::command_line::MAX_MODULES;
use embodios_abi::{CoreFlags, CoreInfo, EngineInfo, INFO_MAGIC, ModuleInfo, NetworkInfo, Span, layout};
use embodios_arch::paging::{Access, PAGE};
use embodios_arch::{Arch, Architecture, VirtAddr};

/// Bytes on their way to [`layout::INFO`].
struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn text(&mut self, text: &str) -> Span {
        let span = self.next(text.len());
        self.bytes.extend_from_slice(text.as_bytes());
        self.align();
        span
    }

    fn records<T: Pod>(&mut self, records: impl Iterator<Item = T>) -> Span {
        let mut span = self.next(0);
        for record in records {
            self.bytes.extend_from_slice(bytes_of(&record));
            span.count += 1;
        }
        span
    }

    fn next(&self, count: usize) -> Span {
        Span { address: layout::INFO + self.bytes.len() as u64, count: count as u64 }
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
    }
}

/// A core for the engine, which calls it `index`.
fn describe(index: usize, core: &PerCpu, place: &Place) -> CoreInfo {
    let flag = |is: bool, flag| if is { flag } else { 0 };
    let flags = flag(core.is_online(), CoreFlags::ONLINE)
        | flag(affinity::housekeeping().contains(index), CoreFlags::HOUSEKEEPING);
    CoreInfo {
        hardware_id: core.hardware.0,
        flags,
        package: place.package,
        physical: place.physical,
        thread: place.thread,
        capacity: place.capacity,
        last_level: place.last_level,
        caches_kib: place.caches_kib,
        statistics: core.cpu.0,
    }
}

/// Maps the start-up information of an engine whose modules lie at `modules` and that has the `network`.
///
/// # Errors
/// [`LoadError::Memory`].
pub fn map(
    engine: &Engine,
    memory: &mut Memory,
    payload: &Payload,
    modules: &[Span],
    network: Option<NetworkInfo>,
) -> Result<(), LoadError> {
    let mut writer = Writer { bytes: Vec::with_capacity(1024) };
    writer.bytes.resize(size_of::<EngineInfo>(), 0);
    let mut all: Vec<&PerCpu> = Vec::with_capacity(per_cpu::all().len());
    all.extend(per_cpu::online());
    let online = all.len() as u64;
    all.extend(per_cpu::all().iter().filter(|core| !core.is_online()));
    let places = topology::number(&all.iter().map(|core| core.topology()).collect::<Vec<_>>());
    let cores =
        all.iter().zip(&places).enumerate().map(|(index, (core, place))| describe(index, core, place));
    let names: heapless::Vec<Span, MAX_MODULES> =
        payload.modules.iter().map(|module| writer.text(module.name)).collect();
    let info = EngineInfo {
        magic: INFO_MAGIC,
        counter_hz: Arch::counter_hz(),
        counter_zero: payload.entry_counter,
        wall_clock: payload.wall_clock.unwrap_or(0),
        random: devices::random().unwrap_or(0),
        restarts: engine.restarts(),
        bad_words: command_line::has_complained().into(),
        silent_crashes: super::SILENT_CRASHES.load(Ordering::Relaxed).into(),
        cores: writer.records(cores),
        online,
        max_threads: scheduler::max_threads(per_cpu::all().len()) as u64,
        modules: writer.records(names.iter().zip(modules).map(|(&name, &bytes)| ModuleInfo { name, bytes })),
        command_line: writer.text(payload.command_line),
        machine: writer.text(payload.machine),
        networks: writer.records(network.into_iter()),
        interrupts: layout::SIGNALS,
    };
    writer.bytes[..size_of::<EngineInfo>()].copy_from_slice(bytes_of(&info));
    let frames = memory.allocate_for_engine((writer.bytes.len() as u64).next_multiple_of(PAGE), PAGE)?;
    memory.fill(frames, 0, &writer.bytes);
    memory.map_for_engine(VirtAddr(layout::INFO), frames, Access::engine(false, false))?;
    Ok(())
}
