//! Runs cases one after another, bounds each of them, and reports.

mod junit;
mod report;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use crate::cases::{self, Case, Group, Need};
use crate::check;
use crate::cli::RunOptions;
use crate::image::Image;
use crate::interrupt;
use crate::link::Faults;
use crate::places::{self, RunFolder};
use crate::process;
use crate::programs;
use crate::tools::{self, Qemu, Tools};
use crate::trial::{NotOffered, Shared, Trial};

pub(crate) use report::{Outcome, Report, Row};

/// The exit code for a command line that is not understood.
const BAD_USAGE: u8 = 2;

/// How long a case that was told to end may take to do it.
const GRACE: Duration = Duration::from_secs(5);

/// Runs the cases of a group.
///
/// # Errors
/// The environment lacks what is needed to begin.
pub(crate) fn run_group(group: Group, options: &RunOptions) -> Result<ExitCode> {
    run(cases::all().filter(|case| case.group == group).collect(), options)
}

/// Runs all cases, or those that every change has to pass.
///
/// # Errors
/// As [`run_group`].
pub(crate) fn run_all(is_ci: bool, options: &RunOptions) -> Result<ExitCode> {
    run(cases::all().filter(|case| case.is_in_ci || !is_ci).collect(), options)
}

/// Runs cases by the beginnings of their names.
///
/// # Errors
/// As [`run_group`], or no case has such a name.
pub(crate) fn run_named(names: &[String], options: &RunOptions) -> Result<ExitCode> {
    let is_known = |name: &str| cases::all().any(|case| case.name.starts_with(name));
    if let Some(name) = names.iter().find(|name| !is_known(name)) {
        eprintln!("error: no case is called {name}; `list` prints all names");
        return Ok(ExitCode::from(BAD_USAGE));
    }
    let is_named =
        |case: &&'static Case| names.iter().any(|name| case.name.starts_with(name.as_str()));
    run(cases::all().filter(is_named).collect(), options)
}

/// Runs cases under deliberate faults.
///
/// # Errors
/// As [`run_group`].
pub(crate) fn run_selftest(options: &RunOptions) -> Result<ExitCode> {
    run(cases::selftest().collect(), options)
}

fn run(cases: Vec<&'static Case>, options: &RunOptions) -> Result<ExitCode> {
    let begin = Instant::now();
    let files = [&options.junit, &options.json, &options.report];
    for file in files.into_iter().flatten() {
        // It would be a pity to hear of it after the last case.
        let folder = std::path::absolute(file)?.parent().map(Path::to_owned).unwrap_or_default();
        ensure!(folder.is_dir(), "{}: there is no folder {}", file.display(), folder.display());
    }
    let shared = Arc::new(prepare(&cases, options)?);
    let folder = RunFolder::new()?;
    let mut report = Report::new(&shared);
    for case in cases {
        if interrupt::is_over() {
            break;
        }
        let row = run_case(case, &shared, &folder, options.require)?;
        report.print_row(&row);
        report.rows.push(row);
    }
    report.elapsed = begin.elapsed();
    let is_good = report.is_good() && !interrupt::is_over();
    let kept = (options.keep || !is_good).then(|| folder.keep());
    report.print_summary(kept.as_deref());
    report.write(options)?;
    if interrupt::is_over() {
        bail!("interrupted; the cases after that did not run");
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Finds, builds and fetches what the cases share. What is missing is no error here: cases that
/// need it are skipped.
pub(crate) fn prepare(cases: &[&Case], options: &RunOptions) -> Result<Shared> {
    let cache = places::cache(options.common.cache.as_deref())?;
    let needs = |need: Need| cases.iter().any(|case| case.needs.contains(&need));
    let qemu = match Qemu::find(options.common.qemu.as_deref()) {
        Ok(qemu) => Some(qemu),
        // What was asked for by name has to be there.
        Err(error) if options.common.qemu.is_some() => return Err(error),
        Err(_) => None,
    };
    let image = match Image::new(&cache, options.common.kernel.as_deref()) {
        _ if !needs(Need::Guest) => None,
        Ok(image) => Some(image),
        Err(error) if options.common.kernel.is_some() => return Err(error),
        Err(error) => {
            eprintln!("no guest: {error:#}");
            None
        }
    };
    let mut tools = Tools {
        qemu,
        storage_daemon: tools::STORAGE_DAEMON.find().ok(),
        responder: programs::responder()?,
        is_kvm: false,
    };
    if let Some(folder) = &options.record {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("--record {} cannot be made", folder.display()))?;
    }
    if let (Some(_), Some(image)) = (&tools.qemu, &image) {
        tools.is_kvm = check::accelerator(&cache, &tools, image, options.common.accel)?;
    }
    Ok(Shared {
        tools,
        image,
        record: options.record.clone(),
        report: options.report.clone(),
        faults: Faults::default(),
    })
}

/// Runs one case, in a thread of its own. One that does not end in time is left to itself, after
/// everything that it waits for was killed.
pub(crate) fn run_case(
    case: &'static Case,
    shared: &Arc<Shared>,
    folder: &RunFolder,
    is_required: bool,
) -> Result<Row> {
    let begin = Instant::now();
    let row = |outcome, facts| Row { case, outcome, facts, elapsed: begin.elapsed() };
    if let Some(missing) = case.needs.iter().find_map(|need| need.missing(shared)) {
        return Ok(row(
            if is_required { Outcome::Failed(missing) } else { Outcome::Skipped(missing) },
            Vec::new(),
        ));
    }
    let trial = Trial::new(case.name, folder.of_case(case.name)?, Arc::clone(shared), case.limit);
    let (done, result) = mpsc::channel();
    thread::Builder::new().name(case.name.to_owned()).spawn(move || {
        let mut trial = trial;
        let ended = catch_unwind(AssertUnwindSafe(|| (case.run)(&mut trial)));
        let ended = ended.unwrap_or_else(|panic| Err(anyhow!("it panicked: {}", words(&*panic))));
        // Nobody listens any more when time was over.
        let _ = done.send((ended, trial.facts()));
    })?;
    let received = match result.recv_timeout(case.limit) {
        Err(RecvTimeoutError::Timeout) => {
            process::kill_all();
            result.recv_timeout(GRACE)
        }
        received => received,
    };
    let limit = case.limit.as_secs();
    Ok(match received {
        Ok((Ok(()), facts)) => row(Outcome::Passed, facts),
        Ok((Err(error), facts)) if error.is::<NotOffered>() => {
            row(Outcome::Untried(error.to_string()), facts)
        }
        Ok((Err(error), facts)) => row(Outcome::Failed(format!("{error:#}")), facts),
        Err(_) => row(Outcome::Failed(format!("it did not end within {limit} s")), Vec::new()),
    })
}

/// What a panic says.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words").to_owned()
}
