//! The text format of Prometheus (0.0.4).

use alloc::format;
use alloc::string::String;
use core::fmt::Display;

use super::Histogram;

/// Name and value of a label.
pub type Label<'a> = (&'a str, &'a dyn Display);

/// A text of metrics, all of one model.
pub struct Text {
    text: String,
    model: String,
}

impl Text {
    /// Without metrics yet.
    pub fn new(model: &str) -> Self {
        Self { text: String::new(), model: escaped(model) }
    }

    /// Begins a metric of a kind (`counter`, `gauge`, `histogram`), whose samples follow.
    pub fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.text += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// A sample.
    pub fn sample(&mut self, name: &str, labels: &[Label<'_>], value: impl Display) {
        self.text += &format!("{name}{{model_name=\"{}\"", self.model);
        for (label, value) in labels {
            self.text += &format!(",{label}=\"{}\"", escaped(&format!("{value}")));
        }
        self.text += &format!("}} {value}\n");
    }

    /// A count that only grows.
    pub fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "counter", help);
        self.sample(name, &[], value);
    }

    /// A value as of now.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "gauge", help);
        self.sample(name, &[], value);
    }

    /// A histogram.
    pub fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for (bound, count) in histogram.cumulative() {
            self.sample(&bucket, &[("le", &bound)], count);
        }
        self.sample(&bucket, &[("le", &"+Inf")], histogram.count());
        self.sample(&format!("{name}_sum"), &[], histogram.sum());
        self.sample(&format!("{name}_count"), &[], histogram.count());
    }

    /// The text.
    pub fn finish(self) -> String {
        self.text
    }
}

/// A label's value as it stands between quotes.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut text = Text::new("a\"b\\c\nd");
        text.counter("x_total", "Things.", 3);
        text.sample("y", &[("state", &"on")], 0.5);
        let want = "# HELP x_total Things.\n# TYPE x_total counter\nx_total{model_name=\"a\\\"b\\\\c\\nd\"} 3\n\
                    y{model_name=\"a\\\"b\\\\c\\nd\",state=\"on\"} 0.5\n";
        assert_eq!(text.finish(), want);
    }

    #[test]
    fn histograms_end_with_infinity() {
        let mut histogram = Histogram::of_counts();
        [3.0, 100.0].into_iter().for_each(|value| histogram.add(value));
        let mut text = Text::new("m");
        text.histogram("h", "Sizes.", &histogram);
        let text = text.finish();
        assert!(
            text.contains("h_bucket{model_name=\"m\",le=\"2\"} 0\nh_bucket{model_name=\"m\",le=\"4\"} 1\n")
        );
        let end = "le=\"64\"} 1\nh_bucket{model_name=\"m\",le=\"+Inf\"} 2\nh_sum{model_name=\"m\"} 103\n\
                   h_count{model_name=\"m\"} 2\n";
        assert!(text.ends_with(end), "{text}");
    }
}
