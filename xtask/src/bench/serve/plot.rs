//! The plot: tokens a second and the 99th percentile of gaps over the number of clients, a panel each.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::figures::LoadFigures;
use super::report::{LoadRow, ServeReport};
use crate::bench::plot::{Area, Drawn, FONT, ROW, WIDTH};

/// Height of a panel.
const HEIGHT: u32 = 360;

/// A server's figures in a row, if it was measured.
type Server = fn(&LoadRow) -> Option<&LoadFigures>;
/// A panel's figure.
type Figure = fn(&LoadFigures) -> f64;

const SERVERS: [(&str, Server); 2] =
    [("EMBODIOS", |row| Some(&row.engine)), ("llama-server", |row| row.llama_server.as_ref())];
const PANELS: [(&str, Figure); 2] = [
    ("tokens a second", |figures| figures.tokens_per_second),
    ("gap between tokens, p99, ms", |figures| figures.gap_ms.p99),
];

/// The report as SVG.
///
/// # Errors
/// When it cannot be drawn.
pub fn svg(report: &ServeReport) -> Result<String> {
    let mut text = String::new();
    {
        let size = (WIDTH * PANELS.len() as u32, HEIGHT + ROW);
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        let draw = || -> Drawn<'_> {
            area.fill(&WHITE)?;
            let (panels, foot) = area.split_vertically(HEIGHT);
            let ServeReport { model, machine, date, .. } = report;
            foot.draw(&Text::new(format!("{model}; {machine}; {date}"), (12, 2), FONT))?;
            for ((name, figure), area) in PANELS.into_iter().zip(panels.split_evenly((1, PANELS.len()))) {
                panel(&area, name, figure, &report.loads)?;
            }
            area.present()
        };
        draw().map_err(|error| anyhow!("{error}"))?;
    }
    Ok(text)
}

/// Groups of bars: the loads, a bar for each server.
fn panel<'a>(area: &Area<'a>, name: &str, figure: Figure, loads: &[LoadRow]) -> Drawn<'a> {
    let bars = loads.iter().flat_map(|row| SERVERS.iter().filter_map(move |(_, of)| of(row).map(figure)));
    let top = bars.fold(f64::MIN_POSITIVE, f64::max) * 1.15;
    let right = loads.len() as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(name, ("sans-serif", 17))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..right, 0.0..top)?;
    chart.configure_mesh().disable_x_mesh().light_line_style(TRANSPARENT).x_labels(0).draw()?;
    for (index, (server, of)) in SERVERS.into_iter().enumerate() {
        let color = Palette99::pick(index).to_rgba();
        let bar = |(place, row): (usize, &LoadRow)| {
            let left = place as f64 + 0.15 + 0.35 * index as f64;
            let value = of(row).map(figure)?;
            Some((left, value))
        };
        let bars: Vec<(f64, f64)> = loads.iter().enumerate().filter_map(bar).collect();
        if bars.is_empty() {
            continue;
        }
        let drawn = bars
            .iter()
            .map(|&(left, value)| Rectangle::new([(left, 0.0), (left + 0.33, value)], color.filled()));
        chart
            .draw_series(drawn)?
            .label(server)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], color.filled()));
        let values = bars
            .iter()
            .map(|&(left, value)| Text::new(format!("{value:.0}"), (left + 0.06, value + top * 0.045), FONT));
        chart.draw_series(values)?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .label_font(FONT)
        .draw()?;
    let (width, height) = area.dim_in_pixel();
    let plot = f64::from(width - 24 - 52);
    for (place, row) in loads.iter().enumerate() {
        let middle = 64.0 + plot * (place as f64 + 0.5) / right;
        let clients =
            if row.clients == 1 { "1 client".to_owned() } else { format!("{} clients", row.clients) };
        area.draw(&Text::new(clients, (middle as i32 - 22, height as i32 - 36), FONT))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::table::tests::report;
    use super::*;

    #[test]
    fn a_plot_shows_both_servers_where_both_were_measured() {
        let svg = svg(&report(None)).expect("it can be drawn");
        for part in ["m; a processor; 2026-01-01", "EMBODIOS", "llama-server", "8 clients", "1 client"] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        let mut alone = report(None);
        alone.loads.truncate(1);
        assert!(!super::svg(&alone).expect("it can be drawn").contains("llama-server"));
    }
}
