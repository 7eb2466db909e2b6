//! `corpus stats`: what the committed seeds of a target amount to.

mod ring;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use vhost_fuzz_core::vhost_user::Kind;
use vhost_fuzz_core::vhost_user::request::Row;
use vhost_fuzz_harness::corpus;

use super::judge::{ACCEPT, is_ring, judge};
use super::summary;

pub(super) use ring::of as of_rings;

/// Counts over the seeds of one target.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Stats {
    /// Inputs.
    pub(super) files: usize,
    /// Bytes of all inputs.
    pub(super) bytes: usize,
    /// Inputs that break no rule.
    pub(super) accepted: usize,
    /// Messages in all inputs.
    pub(super) messages: usize,
    /// Legal messages by kind (its number in [`Kind::ALL`]) and id.
    covered: BTreeSet<(usize, u32)>,
}

impl Stats {
    /// Bytes of an average input.
    pub(super) fn average(&self) -> f64 {
        ratio(self.bytes, self.files)
    }

    /// Share of inputs that break no rule, in percent.
    pub(super) fn accepted_percent(&self) -> f64 {
        100.0 * ratio(self.accepted, self.files)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of files and bytes stay far below 2^52")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// Counts the committed seeds of a target.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn of(root: &Path, target: &str) -> Result<Stats> {
    let mut stats = Stats::default();
    let names = corpus::files(root, target)
        .with_context(|| format!("{} cannot be read", root.join(target).display()))?;
    for name in names {
        let path = root.join(target).join(name);
        let bytes =
            std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        let judgement = judge(target, &bytes)?;
        stats.files += 1;
        stats.bytes += bytes.len();
        stats.accepted += usize::from(judgement.verdict == ACCEPT);
        stats.messages += judgement.messages.len();
        for message in judgement.messages.iter().filter(|message| message.is_legal) {
            let kind = Kind::ALL.iter().position(|kind| *kind == message.context.kind);
            if let (Some(kind), Some(code)) = (kind, message.code) {
                stats.covered.insert((kind, code));
            }
        }
    }
    Ok(stats)
}

/// The counts of a target for a person.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn text(root: &Path, target: &str) -> Result<String> {
    if is_ring(target) {
        return Ok(ring::render(target, &of_rings(root, target)?));
    }
    Ok(render(target, &of(root, target)?))
}

/// The counts for a person.
fn render(target: &str, stats: &Stats) -> String {
    let mut text = format!(
        "{target}: {}, {:.1} bytes on average, {:.1} % accepted, {:.1} messages an input\n",
        summary::count(stats.files, "file"),
        stats.average(),
        stats.accepted_percent(),
        ratio(stats.messages, stats.files),
    );
    for (at, kind) in Kind::ALL.into_iter().enumerate() {
        let rows = Row::all(kind.channel);
        let is_covered = |row: &&Row| stats.covered.contains(&(at, row.code));
        let missing: Vec<_> =
            rows.iter().filter(|row| !is_covered(row)).map(|row| row.name).collect();
        let _ = write!(
            text,
            "  {:<20} {:>2} of {} ids in legal messages",
            summary::kind(kind),
            rows.len() - missing.len(),
            rows.len(),
        );
        if !missing.is_empty() {
            let _ = write!(text, "; without {}", missing.join(", "));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        std::fs::create_dir(root.join("msg_decode")).expect("a folder");
        let words = |words: &[u32]| -> Vec<u8> {
            words.iter().flat_map(|word| word.to_ne_bytes()).collect()
        };
        for (name, bytes) in [
            ("a", words(&[3, 1, 0])),
            ("b", words(&[3, 2, 0])),
            ("da39a3ee5e6b4b0d3255bfef95601890afd80709", words(&[1, 1, 0])),
            ("c", words(&[2, 5, 8, 0, 0])),
        ] {
            std::fs::write(root.join("msg_decode").join(name), bytes).expect("written");
        }
        let stats = of(root, "msg_decode").expect("counts");
        assert_eq!((stats.files, stats.bytes, stats.accepted, stats.messages), (3, 44, 2, 3));
        let text = render("msg_decode", &stats);
        assert!(text.starts_with(
            "msg_decode: 3 files, 14.7 bytes on average, 66.7 % accepted, 1.0 messages an input\n"
        ));
        assert!(text.contains("front-end requests    1 of 45 ids"), "{text}");
        assert!(text.contains("back-end replies      1 of 45 ids"), "{text}");
        assert!(of(root, "msg_stream").is_err());
    }
}
