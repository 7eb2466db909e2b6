//! Proof that a requirement is covered, left behind by a test that passed.
//!
//! With `VHOST_FUZZ_EVIDENCE` set to a folder, every test that proves a rule appends a line to a
//! file there: the rule, how it was proved, and the name of the test. `cargo xtask rules` runs
//! the tests so and writes `spec/coverage.md`.

use std::fmt::Display;
use std::io::Write as _;
use std::path::PathBuf;

/// The variable that names the folder.
pub const VARIABLE: &str = "VHOST_FUZZ_EVIDENCE";

/// How a rule was proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// An input that breaks it was refused with exactly its error.
    Refused,
    /// What it demands was shown.
    Shown,
}

/// Records that this test proved a rule by refusing what breaks it. Call it after the assertion.
pub fn refused(rule: impl Display) {
    record(&rule.to_string(), How::Refused);
}

/// Records, when the test ends well, that it showed what these rules demand.
#[must_use = "the rules are recorded when this is dropped at the end of the test"]
#[derive(Debug)]
pub struct Shows(Vec<String>);

/// Begins a test that shows what these rules demand: `let _shows = shows(&["VU-001"]);`.
pub fn shows(rules: &[&str]) -> Shows {
    Shows(rules.iter().map(ToString::to_string).collect())
}

impl Drop for Shows {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.0.iter().for_each(|rule| record(rule, How::Shown));
        }
    }
}

fn record(rule: &str, how: How) {
    let Some(folder) = std::env::var_os(VARIABLE).map(PathBuf::from) else { return };
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("unnamed");
    let binary = std::env::current_exe().ok();
    let binary = binary
        .as_deref()
        .and_then(|path| path.file_stem()?.to_str()?.rsplit_once('-'))
        .map_or("test", |(name, _)| name);
    let how = match how {
        How::Refused => "refused",
        How::Shown => "shown",
    };
    let file = folder.join(format!("{}.tsv", std::process::id()));
    let result =
        std::fs::OpenOptions::new().create(true).append(true).open(&file).and_then(|mut file| {
            file.write_all(format!("{rule}\t{how}\t{binary}::{test}\n").as_bytes())
        });
    if let Err(error) = result {
        panic!("evidence for {rule} cannot be written to {}: {error}", file.display());
    }
}

/// Asserts that a result is exactly this refusal, and records its rule.
#[macro_export]
macro_rules! assert_refused {
    ($result:expr, $error:expr $(,)?) => {
        $crate::assert_refused!($result, $error, "")
    };
    ($result:expr, $error:expr, $($context:tt)+) => {{
        let error = $error;
        let context = format_args!($($context)+);
        match $result {
            Ok(value) => panic!("accepted as {value:?}, not refused by {error:?}; {context}"),
            Err(got) => assert_eq!(got, error, "{context}"),
        }
        $crate::evidence::refused(error.rule());
    }};
}
