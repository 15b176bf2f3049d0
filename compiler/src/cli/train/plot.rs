//! The learning curve as a picture.

use super::super::failure::Failure;
use plotters::prelude::*;
use std::path::Path;

/// What is drawn, as pairs of step and value.
#[derive(Default)]
pub(super) struct Curves {
    pub(super) loss: Vec<(f64, f64)>,
    pub(super) valid_loss: Vec<(f64, f64)>,
}

impl Curves {
    /// Writes an SVG file.
    pub(super) fn write(&self, path: &Path) -> Result<(), Failure> {
        let mut text = String::new();
        self.draw(&mut text).map_err(|error| Failure::file(path, format!("can't be drawn: {error}")))?;
        super::super::output::write(path, text.as_bytes())
    }

    fn draw(&self, text: &mut String) -> Result<(), Box<dyn std::error::Error>> {
        let area = SVGBackend::with_string(text, (800, 500)).into_drawing_area();
        area.fill(&WHITE)?;
        let all = || self.loss.iter().chain(&self.valid_loss);
        let steps = all().map(|point| point.0).fold(1.0, f64::max);
        let highest = all().map(|point| point.1).fold(0.0, f64::max);
        let mut chart = ChartBuilder::on(&area)
            .margin(16)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..steps, 0.0..highest.max(f64::MIN_POSITIVE) * 1.05)?;
        chart.configure_mesh().x_desc("step").y_desc("loss").light_line_style(WHITE).draw()?;
        let series = [("training", &self.loss, BLUE, 1), ("validation", &self.valid_loss, RED, 2)];
        for (name, points, color, width) in series.into_iter().filter(|series| !series.1.is_empty()) {
            let line =
                chart.draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(width)))?;
            line.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color));
        }
        chart.configure_series_labels().border_style(BLACK).background_style(WHITE).draw()?;
        area.present()?;
        Ok(())
    }
}
