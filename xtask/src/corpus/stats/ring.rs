//! What the committed seeds of a ring target amount to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use vhost_fuzz_harness::corpus;

use super::ratio;
use crate::corpus::judge::Rings;
use crate::corpus::summary;

/// Counts over the seeds of one ring target.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::corpus) struct RingStats {
    /// Inputs.
    files: usize,
    /// Bytes of all inputs.
    bytes: usize,
    /// Inputs that break no rule.
    accepted: usize,
    /// Things that driver and device do in all inputs.
    operations: usize,
    /// In how many inputs each rule is broken.
    broken: BTreeMap<String, usize>,
}

impl RingStats {
    /// Things that are done in an average input.
    pub(in crate::corpus) fn average_operations(&self) -> f64 {
        ratio(self.operations, self.files)
    }

    fn add(&mut self, target: &str, input: &[u8]) {
        let rings = Rings::of(target, input);
        self.files += 1;
        self.bytes += input.len();
        self.accepted += usize::from(rings.broken.is_empty());
        self.operations += rings.operations;
        let mut rules: Vec<_> = rings.broken.iter().map(ToString::to_string).collect();
        rules.sort_unstable();
        rules.dedup();
        for rule in rules {
            *self.broken.entry(rule).or_default() += 1;
        }
    }
}

/// Counts the committed seeds of a ring target.
///
/// # Errors
/// When a file cannot be read.
pub(in crate::corpus) fn of(root: &Path, target: &str) -> Result<RingStats> {
    let mut stats = RingStats::default();
    let folder = root.join(target);
    let names = corpus::files(root, target)
        .with_context(|| format!("{} cannot be read", folder.display()))?;
    for name in names {
        let path = folder.join(name);
        let bytes =
            std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        stats.add(target, &bytes);
    }
    Ok(stats)
}

/// The counts for a person.
pub(super) fn render(target: &str, stats: &RingStats) -> String {
    let mut text = format!(
        "{target}: {}, {:.1} bytes on average, {:.1} % accepted, {:.1} operations an input\n",
        summary::count(stats.files, "file"),
        ratio(stats.bytes, stats.files),
        100.0 * ratio(stats.accepted, stats.files),
        stats.average_operations(),
    );
    let rules: Vec<_> =
        stats.broken.iter().map(|(rule, count)| format!("{rule} {count}")).collect();
    let _ = writeln!(text, "  rules broken, and in how many inputs: {}", rules.join(", "));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use vhost_fuzz_harness::ring::step::{Descriptor, Start, Step};
    use vhost_fuzz_harness::script;

    #[test]
    fn counts_what_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        std::fs::create_dir(root.join("split_ring")).expect("a folder");
        let save = |name: &str, steps: &[Step<'_>]| {
            let records: Vec<_> = steps.iter().map(Step::record).collect();
            let bytes = script::encode(&records);
            std::fs::write(root.join("split_ring").join(name), &bytes).expect("written");
            bytes.len()
        };
        let chain = |address| {
            let descriptors = [Descriptor { address, len: 1, flags: 0 }];
            Step::Chain { id: 0, descriptors: descriptors.into_iter().collect() }
        };
        let start = Step::Start(Start::of(4, 0));
        let good = save("a", &[start.clone(), chain(0x1_2000), Step::Pop { count: 2 }]);
        let bad = save("b", &[start, chain(0), Step::Pop { count: 1 }, Step::Publish]);
        let stats = of(root, "split_ring").expect("counts");
        let expected = RingStats {
            files: 2,
            bytes: good + bad,
            accepted: 1,
            operations: 6,
            broken: [("VQ-026".to_owned(), 1)].into(),
        };
        assert_eq!(stats, expected);
        let text = render("split_ring", &stats);
        assert!(text.contains("50.0 % accepted, 3.0 operations an input"), "{text}");
        assert!(text.ends_with("in how many inputs: VQ-026 1\n"), "{text}");
        assert!(of(root, "packed_ring").is_err());
    }
}
