//! The report as XML, in the form of `JUnit`.

use anyhow::Result;
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::report::{Outcome, Report};

/// The whole file.
///
/// # Errors
/// It cannot be written as XML.
pub(super) fn text(report: &Report) -> Result<String> {
    let mut suites: Vec<TestSuite> = Vec::new();
    for row in &report.rows {
        let status = match &row.outcome {
            Outcome::Passed => TestCaseStatus::success(),
            Outcome::Failed(why) => {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                status.set_message(why.as_str());
                status
            }
            Outcome::Skipped(why) | Outcome::Untried(why) => {
                let mut status = TestCaseStatus::skipped();
                status.set_message(why.as_str());
                status
            }
        };
        let mut case = TestCase::new(row.case.name, status);
        case.set_classname(format!("qemu-smoke.{}", row.case.group.name()));
        case.set_time(row.elapsed);
        let facts = row.facts.iter().map(|(name, value)| format!("{name}: {value}\n"));
        case.set_system_out(facts.collect::<String>());
        let name = row.case.group.name();
        if !suites.iter().any(|suite| suite.name.as_str() == name) {
            suites.push(TestSuite::new(name));
        }
        if let Some(suite) = suites.iter_mut().find(|suite| suite.name.as_str() == name) {
            suite.add_test_case(case);
        }
    }
    let mut junit = quick_junit::Report::new("qemu-smoke");
    junit.set_time(report.elapsed);
    junit.add_test_suites(suites);
    Ok(junit.to_string()?)
}
