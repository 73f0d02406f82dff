//! The plot: speed-up over cores, a panel for each kind of figure, its legend below it.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::{Curve, Figure, FigureKind, Point, ScalingReport};
use crate::bench::plot::{Area, Drawn, FONT, ROW, WIDTH};

/// Height of a panel's chart, in pixels.
const HEIGHT: u32 = 420;

/// The report as SVG. Missing figures are not drawn.
///
/// # Errors
/// When it cannot be drawn.
pub fn svg(report: &ScalingReport) -> Result<String> {
    let curves: Vec<&Curve> = report.curves.iter().filter(|curve| measured(curve).next().is_some()).collect();
    let mut kinds: Vec<FigureKind> = curves.iter().map(|curve| curve.kind).collect();
    kinds.dedup();
    // A series has its colour in every panel.
    let mut series: Vec<String> = Vec::new();
    for name in curves.iter().map(|curve| name(curve)) {
        if !series.contains(&name) {
            series.push(name);
        }
    }
    let of = |kind: FigureKind| curves.iter().copied().filter(|curve| curve.kind == kind).collect::<Vec<_>>();
    let rows = kinds.iter().map(|&kind| of(kind).len() as u32 + 1).max().unwrap_or(0);
    let mut text = String::new();
    {
        let size = (WIDTH * kinds.len().max(1) as u32, HEIGHT + (rows + 2) * ROW);
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        let draw = || -> Result<(), Box<dyn std::error::Error + '_>> {
            area.fill(&WHITE)?;
            let (panels, foot) = area.split_vertically(size.1 - ROW);
            let ScalingReport { machine, date, .. } = report;
            foot.draw(&Text::new(format!("{machine}; {date}"), (12, 2), FONT))?;
            for (&kind, area) in kinds.iter().zip(panels.split_evenly((1, kinds.len().max(1)))) {
                let (chart, legend) = area.split_vertically(HEIGHT);
                panel(&chart, kind, &report.model, &of(kind), &series).map_err(|error| error.to_string())?;
                describe(&legend, &of(kind), &series).map_err(|error| error.to_string())?;
            }
            area.present()?;
            Ok(())
        };
        draw().map_err(|error| anyhow!("{error}"))?;
    }
    Ok(text)
}

fn panel<'a>(
    area: &Area<'a>,
    kind: FigureKind,
    model: &str,
    curves: &[&Curve],
    series: &[String],
) -> Drawn<'a> {
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
    for curve in curves {
        let color = color(curve, series);
        chart.draw_series(LineSeries::new(measured(curve), color.stroke_width(2)))?;
        chart.draw_series(measured(curve).map(|point| Circle::new(point, 3, color.filled())))?;
        let bounds: Vec<(f64, f64)> = bounds(curve).collect();
        chart.draw_series(DashedLineSeries::new(bounds, 5, 4, color.stroke_width(1)))?;
    }
    Ok(())
}

/// Draws the legend below the chart.
fn describe<'a>(area: &Area<'a>, curves: &[&Curve], series: &[String]) -> Drawn<'a> {
    let line = |row: usize| 4 + row as i32 * ROW as i32;
    for (row, curve) in curves.iter().enumerate() {
        let stroke = color(curve, series).stroke_width(2);
        area.draw(&PathElement::new([(56, line(row) + 7), (76, line(row) + 7)], stroke))?;
        area.draw(&Text::new(name(curve), (84, line(row)), FONT))?;
    }
    if curves.iter().any(|curve| bounds(curve).next().is_some()) {
        let text = "dashed: as many independent batches";
        area.draw(&Text::new(text, (84, line(curves.len())), FONT))?;
    }
    Ok(())
}

/// Name of a curve: place and batch.
fn name(curve: &Curve) -> String {
    format!("{}, {}", curve.place, curve.batch())
}

fn color(curve: &Curve, series: &[String]) -> RGBAColor {
    let index = series.iter().position(|series| *series == name(curve));
    Palette99::pick(index.unwrap_or_default()).to_rgba()
}

/// Cores and speed-up of independent batches, from one core on.
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

/// Measured points of a curve: cores and speed-up.
fn measured(curve: &Curve) -> impl Iterator<Item = (f64, f64)> {
    curve.points.iter().filter_map(|Point { cores, figure }| match figure {
        Figure::Measured(measured) => Some((f64::from(*cores), measured.speedup)),
        Figure::NotMeasuredHere { .. } => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Measured;
    use super::*;

    #[test]
    fn a_plot_says_where_it_is_from_and_shows_what_there_is() {
        let measured = |speedup| {
            Figure::Measured(Measured {
                speedup,
                bound: Some(speedup),
                tokens_per_second: None,
                instructions: None,
                plan: String::new(),
                hash: String::new(),
            })
        };
        let missing = || Figure::NotMeasuredHere { reason: "no cores".to_owned() };
        let curve = |kind, place: &str, prompts, second: Figure| Curve {
            kind,
            place: place.to_owned(),
            kernels: None,
            prompts,
            points: vec![Point { cores: 2, figure: second }],
        };
        let report = ScalingReport {
            model: "m".to_owned(),
            tokens: 4,
            machine: "a processor, 2 cores, load 0.5 before".to_owned(),
            date: "2026-01-01 00:00 UTC".to_owned(),
            host_cores: 2,
            host_load: None,
            curves: vec![
                curve(FigureKind::Instructions, "guest", 8, measured(1.9)),
                curve(FigureKind::Instructions, "host", 8, missing()),
                curve(FigureKind::Native, "host", 8, measured(1.8)),
                curve(FigureKind::Native, "guest", 8, measured(1.7)),
                curve(FigureKind::Emulated, "guest", 1, missing()),
            ],
        };
        let svg = svg(&report).expect("it can be drawn");
        assert!(svg.contains("a processor, 2 cores, load 0.5 before; 2026-01-01 00:00 UTC"), "{svg}");
        assert!(!svg.contains("not measured") && !svg.contains("emulated"), "{svg}");
        // Two series, of a colour each: one of them is in both panels.
        let series = ["guest, 8 prompts".to_owned(), "host, 8 prompts".to_owned()];
        let [guest, host] = [0, 2].map(|index| color(&report.curves[index], &series));
        assert!(guest != host && color(&report.curves[3], &series) == guest);
        assert_eq!((svg.matches("guest, 8 prompts").count(), svg.matches("host, 8 prompts").count()), (2, 1));
    }
}
