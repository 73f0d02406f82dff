//! Fuel: every operation pays for its work before it does it.
//!
//! A unit pays for a byte that is read or made, so that one number bounds both time and memory: the bytes that a
//! rendering has ever made are no more than the fuel it had. Costs are of the worst case and never less than the memory
//! taken.

use core::cell::Cell;

use super::error::Problem;

/// Fuel of any rendering.
const BASE: u64 = 1 << 26;
/// More of it for each byte that is given to the template.
const FOR_A_BYTE: u64 = 64;
/// Cost of a statement or an expression.
pub const STEP: usize = 32;
/// Cost of a text beside its bytes.
pub const TEXT: usize = 160;
/// Cost of an element of a list, or of a key or value of a mapping.
pub const ELEMENT: usize = 32;
/// Cost of a list, mapping or namespace beside its elements.
pub const COLLECTION: usize = 64;
/// Cost of a variable.
pub const VARIABLE: usize = 512;

/// Fuel that is left.
pub struct Fuel(Cell<u64>);

impl Fuel {
    /// The fuel of a rendering that is given `bytes`.
    pub const fn new(bytes: usize) -> Self {
        Self(Cell::new(BASE.saturating_add(FOR_A_BYTE.saturating_mul(bytes as u64))))
    }

    /// Pays for `work` of `operation`.
    ///
    /// # Errors
    /// When it is more than the fuel left, which then is nothing.
    pub fn pay(&self, work: usize, operation: &'static str) -> Result<(), Problem> {
        match self.0.get().checked_sub(work as u64) {
            Some(left) => {
                self.0.set(left);
                Ok(())
            }
            None => {
                self.0.set(0);
                Err(Problem::Fuel(operation))
            }
        }
    }
}
