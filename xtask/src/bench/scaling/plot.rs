//! The plot: speed-up over cores, a panel for each kind of figure.

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::{Curve, Figure, Kind, Point, Report};

/// Width and height of a panel, in pixels.
const PANEL: (u32, u32) = (460, 420);

/// The report as SVG.
///
/// # Errors
/// When it cannot be drawn.
pub fn svg(report: &Report) -> Result<String> {
    let mut kinds: Vec<Kind> = Vec::new();
    for curve in &report.curves {
        if !kinds.contains(&curve.kind) {
            kinds.push(curve.kind);
        }
    }
    let mut text = String::new();
    {
        let size = (PANEL.0 * kinds.len().max(1) as u32, PANEL.1);
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        let draw = || -> Result<(), Box<dyn std::error::Error + '_>> {
            area.fill(&WHITE)?;
            for (kind, area) in kinds.iter().zip(area.split_evenly((1, kinds.len().max(1)))) {
                let curves: Vec<_> = report.curves.iter().filter(|curve| curve.kind == *kind).collect();
                panel(&area, *kind, &report.model, &curves).map_err(|error| error.to_string())?;
            }
            area.present()?;
            Ok(())
        };
        draw().map_err(|error| anyhow!("{error}"))?;
    }
    Ok(text)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn panel<'a>(
    area: &Area<'a>,
    kind: Kind,
    model: &str,
    curves: &[&Curve],
) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>> {
    let most = curves.iter().flat_map(|curve| &curve.points).map(|point| point.cores).max().unwrap_or(1);
    let highest = curves.iter().flat_map(|curve| measured(curve)).map(|(_, speedup)| speedup);
    let (right, top) = (f64::from(most) + 0.5, highest.fold(f64::from(most), f64::max) + 0.5);
    let mut chart = ChartBuilder::on(area)
        .caption(format!("{model}: {kind}"), ("sans-serif", 17))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(44)
        .build_cartesian_2d(0.5..right, 0.0..top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(most as usize + 1)
        .y_labels(top as usize + 1)
        .x_label_formatter(&|cores| format!("{cores:.0}"))
        .y_label_formatter(&|speedup| format!("{speedup:.0}"))
        .x_desc("cores")
        .y_desc("times one core")
        .draw()?;
    let ideal = [(1.0, 1.0), (f64::from(most), f64::from(most))];
    chart.draw_series(LineSeries::new(ideal, BLACK.mix(0.25)))?;
    let mut bounded = false;
    for (index, curve) in curves.iter().enumerate() {
        let points: Vec<(f64, f64)> = measured(curve).collect();
        let color = Palette99::pick(index).to_rgba();
        let label = match points.is_empty() {
            true => format!("{}, {}: not measured here", curve.place, curve.batch()),
            false => format!("{}, {}", curve.place, curve.batch()),
        };
        chart
            .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
        chart.draw_series(points.iter().map(|&point| Circle::new(point, 3, color.filled())))?;
        let bounds: Vec<(f64, f64)> = bounds(curve).collect();
        if !bounds.is_empty() {
            let pale = chart.draw_series(DashedLineSeries::new(bounds, 5, 4, color.stroke_width(1)))?;
            if !std::mem::replace(&mut bounded, true) {
                let dash = |(x, y)| PathElement::new([(x, y), (x + 6, y)], BLACK);
                pale.label("dashed: batches that share nothing").legend(dash);
            }
        }
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .label_font(("sans-serif", 12))
        .draw()
}

/// Cores and speed-up of batches that share nothing, from one of them on.
fn bounds(curve: &Curve) -> impl Iterator<Item = (f64, f64)> {
    let bound = |point: &Point| match &point.figure {
        Figure::Measured(measured) => Some((f64::from(point.cores), measured.bound?)),
        Figure::NotMeasuredHere { .. } => None,
    };
    let there = curve.points.iter().filter_map(bound);
    let mut there = there.peekable();
    let one = there.peek().map(|_| (1.0, 1.0));
    one.into_iter().chain(there)
}

/// The points of a curve that there are: cores and speed-up.
fn measured(curve: &Curve) -> impl Iterator<Item = (f64, f64)> {
    curve.points.iter().filter_map(|Point { cores, figure }| match figure {
        Figure::Measured(measured) => Some((f64::from(*cores), measured.speedup)),
        Figure::NotMeasuredHere { .. } => None,
    })
}
