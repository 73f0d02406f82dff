//! Topology of a machine: number of cores and their grouping by QEMU's `-smp`.

use std::fmt;
use std::str::FromStr;

/// QEMU's `-smp` value: a core count, optionally with the shape of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    cores: u32,
    argument: String,
}

impl Topology {
    /// Number of cores.
    pub const fn cores(&self) -> u32 {
        self.cores
    }
}

/// A number of cores, at least one, in QEMU's default grouping.
impl From<u32> for Topology {
    fn from(cores: u32) -> Self {
        Self { cores, argument: cores.to_string() }
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.argument)
    }
}

impl FromStr for Topology {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let count = parts.next().unwrap_or_default();
        let count = count.strip_prefix("cpus=").unwrap_or(count);
        let cores = positive(count).ok_or_else(|| format!("`{count}` is not a number of cores"))?;
        let mut product = 1u32;
        let mut shaped = false;
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            if !["sockets", "dies", "clusters", "cores", "threads"].contains(&key) {
                return Err(format!("`{part}` is not one of sockets=, dies=, clusters=, cores=, threads="));
            }
            let factor = positive(value).ok_or_else(|| format!("`{part}` needs a number above 0"))?;
            product = product.saturating_mul(factor);
            shaped = true;
        }
        if shaped && !cores.is_multiple_of(product) {
            return Err(format!("{cores} cores do not divide into {product}"));
        }
        Ok(Self { cores, argument: text.to_owned() })
    }
}

/// A decimal number above 0 without a sign.
fn positive(text: &str) -> Option<u32> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|&number| number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_shapes_parse() {
        for (text, cores) in [("1", 1), ("16", 16), ("cpus=3", 3), ("8,sockets=2,cores=2,threads=2", 8)] {
            let topology: Topology = text.parse().expect(text);
            assert_eq!(topology.cores(), cores);
            assert_eq!(topology.to_string(), text);
        }
        assert_eq!("16".parse(), Ok(Topology::from(16)));
    }

    #[test]
    fn nonsense_is_named() {
        for (text, part) in [
            ("", "``"),
            ("0", "`0`"),
            ("+2", "`+2`"),
            ("four", "`four`"),
            ("4,nodes=2", "`nodes=2`"),
            ("4,cores=0", "`cores=0`"),
            ("4,cores", "`cores`"),
            ("8,sockets=3,cores=2", "divide"),
        ] {
            let error = text.parse::<Topology>().expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
