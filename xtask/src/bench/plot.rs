//! What plots have in common: sizes, text, and the types of what draws.

use plotters::coord::Shift;
use plotters::prelude::*;

/// Width of a panel, in pixels.
pub const WIDTH: u32 = 460;
/// Height of a line of text.
pub const ROW: u32 = 18;
/// Text.
pub const FONT: (&str, i32) = ("sans-serif", 12);

/// A part of an SVG.
pub type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// Result of drawing on one.
pub type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;
