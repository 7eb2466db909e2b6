//! Packets per second through QEMU and back.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::guest::{self, Pair};
use super::{Case, Group, Need};
use crate::machine::NetOptions;
use crate::trial::Trial;

/// Requests of one run.
const COUNT: u32 = 20_000;

/// Fewer answers in a second are no matter of speed: somebody waits for a timer.
const FEWEST: f64 = 100.0;

const fn case(name: &'static str, shows: &'static str, run: fn(&mut Trial) -> Result<()>) -> Case {
    let (group, needs) = (Group::Perf, &[Need::Qemu, Need::Guest]);
    Case { name, group, shows, needs, limit: Duration::from_secs(120), is_in_ci: false, run }
}

pub(super) const CASES: &[Case] = &[
    case("perf.guest-split", "ARP requests of a guest that are answered, a second", |trial| {
        frames(trial, &NetOptions::DEFAULT)
    }),
    case("perf.guest-packed", "the same with packed rings", |trial| {
        frames(trial, &NetOptions { is_packed: true, ..NetOptions::DEFAULT })
    }),
];

fn frames(trial: &mut Trial, options: &NetOptions) -> Result<()> {
    let mut pair = Pair::start(trial, options, &[])?;
    guest::lease(trial, &mut pair.machine)?;
    let command = format!("smoke frames --count {COUNT}");
    let text = pair.machine.must(&command, Duration::from_secs(90))?;
    let rate = rate(&text).with_context(|| format!("`{command}` prints {text:?}"))?;
    trial.note("answers a second", format!("{rate:.0}, of {COUNT} requests and none lost"));
    ensure!(rate > FEWEST, "{rate:.0} answers a second");
    pair.end(trial)
}

/// Reads what `smoke frames` prints: `frames N seconds S`.
fn rate(text: &str) -> Option<f64> {
    let mut words = text.split_whitespace();
    let mut value =
        |name| words.find(|word| *word == name).and_then(|_| words.next()?.parse().ok());
    let (frames, seconds): (Option<f64>, Option<f64>) = (value("frames"), value("seconds"));
    Some(frames? / seconds.filter(|seconds| *seconds > 0.0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read() {
        assert_eq!(rate("frames 1000 seconds 0.500\n"), Some(2000.0));
        assert_eq!(rate("frames 1000 seconds 0.000\n"), None);
        assert_eq!(rate("error: no raw socket\n"), None);
    }
}
