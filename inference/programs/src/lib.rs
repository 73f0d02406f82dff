//! Code that the programs share: a model's file read and repacked on all cores.
#![forbid(unsafe_code)]

use std::time::Instant;

use embodios_engine::model::{ModelError, fastest_kernels, quantized};
use embodios_host::file::{self, each_on_all_cores};
use embodios_kernels::Kernels;
use embodios_kernels::matrix::Layout;
use memmap2::MmapMut;

/// Reads a model's file as the fastest kernels want it, and names these: on all processors, ahead of being confined to
/// those of the workers; these are taken to be like the others.
///
/// # Errors
/// When it cannot be read, or is no model.
pub fn load(path: &str) -> Result<(MmapMut, Kernels), String> {
    let bad = |error: ModelError| format!("{path}: {error}");
    let mut file = file::read(path.as_ref()).map_err(|error| format!("{path}: {error}"))?;
    let start = Instant::now();
    let kernels = fastest_kernels(&file, &|| start.elapsed().as_nanos() as u64).map_err(bad)?;
    repack(&mut file, kernels.layout()).map_err(bad)?;
    Ok((file, kernels))
}

/// Brings all quantised tensors of a model's file from rows into `layout`, in place, on all cores that this process may
/// use.
///
/// # Errors
/// As [`embodios_engine::model::repack`].
pub fn repack(file: &mut [u8], layout: Layout) -> Result<(), ModelError> {
    if layout == Layout::Rows {
        return Ok(());
    }
    each_on_all_cores(quantized(file)?.into_iter(), |tensor| Ok(tensor.repack(layout)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use embodios_engine::model;
    use embodios_fixtures::STORY;

    #[test]
    fn threads_lay_a_file_out_as_one_does() {
        for layout in [Layout::Rows, Layout::Tiles] {
            let [mut one, mut all] = [STORY, STORY].map(<[u8]>::to_vec);
            model::repack(&mut one, layout).unwrap();
            repack(&mut all, layout).unwrap();
            assert!(one == all, "{layout:?}");
            assert_eq!(one == STORY, layout == Layout::Rows, "{layout:?}");
        }
        let error = repack(&mut STORY[..STORY.len() - 1].to_vec(), Layout::Tiles).unwrap_err();
        assert!(error.to_string().contains("tensor"), "{error}");
    }
}
