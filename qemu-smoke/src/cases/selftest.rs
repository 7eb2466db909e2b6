//! Cases under deliberate faults: each fault makes the case fail that is to notice it.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::{Case, Group, Need, all};
use crate::link::Faults;
use crate::trial::{Shared, Trial};

/// How long a case may take without a guest, twice.
const LIMIT: Duration = Duration::from_secs(60);

/// The same with one: a boot, and a client that asks in vain.
const GUEST_LIMIT: Duration = Duration::from_secs(240);

const NONE: Faults = Faults { loses_calls: false, denies_memory: false, confuses_dhcp: false };
const LOSES_CALLS: Faults = Faults { loses_calls: true, ..NONE };
const DENIES_MEMORY: Faults = Faults { denies_memory: true, ..NONE };
const CONFUSES_DHCP: Faults = Faults { confuses_dhcp: true, ..NONE };

const fn case(name: &'static str, shows: &'static str, run: fn(&mut Trial) -> Result<()>) -> Case {
    Case { name, group: Group::Selftest, shows, needs: &[], limit: LIMIT, is_in_ci: false, run }
}

/// The same with a guest.
const fn guest(name: &'static str, shows: &'static str, run: fn(&mut Trial) -> Result<()>) -> Case {
    let needs = &[Need::Qemu, Need::Guest];
    Case { needs, limit: GUEST_LIMIT, ..case(name, shows, run) }
}

pub(super) const CASES: &[Case] = &[
    case("selftest.calls", "every fifth used notification is dropped", |trial| {
        notices(trial, LOSES_CALLS, "basic.link-calls", "no call for answer ")
    }),
    case("selftest.memory", "SET_MEM_TABLE is answered with 1", |trial| {
        notices(trial, DENIES_MEMORY, "basic.link-memory", "answered with 0x1")
    }),
    case("selftest.lease", "DHCP answers have a wrong xid", |trial| {
        notices(trial, CONFUSES_DHCP, "basic.link-lease", "its answer 0x56781234")
    }),
    guest(
        "selftest.guest-calls",
        "every fifth used notification is dropped, and ping waits",
        |trial| notices(trial, LOSES_CALLS, "net.receive-calls", "packets transmitted"),
    ),
    guest(
        "selftest.guest-memory",
        "ADD_MEM_REG, which QEMU sends instead, is answered with 1",
        |trial| notices(trial, DENIES_MEMORY, "net.connect", "udhcpc"),
    ),
    guest("selftest.guest-lease", "DHCP answers have a wrong xid, and udhcpc asks", |trial| {
        notices(trial, CONFUSES_DHCP, "net.connect", "udhcpc")
    }),
];

/// Cases that have passed without a fault. One is enough for several faults.
static PASSED: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());

/// A case passes, and under a fault it fails; what it says then has `words` in it.
fn notices(trial: &mut Trial, faults: Faults, name: &str, words: &str) -> Result<()> {
    let case = all().find(|case| case.name == name);
    let case = case.with_context(|| format!("there is no case {name}"))?;
    let has_passed = || PASSED.lock().unwrap_or_else(PoisonError::into_inner);
    if !has_passed().contains(case.name) {
        attempt(trial, case, NONE, "good")
            .with_context(|| format!("{name} fails without the fault, too"))?;
        has_passed().insert(case.name);
    }
    trial.note("without the fault", format!("{name} passes"));
    let Err(error) = attempt(trial, case, faults, "bad") else {
        bail!("{name} passes under the fault");
    };
    let said = format!("{error:#}");
    ensure!(said.contains(words), "{name} fails, but not by `{words}`: {said}");
    let line = said.lines().next().unwrap_or_default();
    trial.note("with the fault", format!("{name} fails: {line}"));
    Ok(())
}

/// Runs a case in a folder of its own.
fn attempt(trial: &Trial, case: &'static Case, faults: Faults, name: &str) -> Result<()> {
    let folder = trial.path(name);
    fs::create_dir(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let Shared { tools, image, record, .. } = &*trial.shared;
    // What goes wrong on purpose is no seed.
    let record = record.clone().filter(|_| faults == NONE);
    let shared =
        Shared { tools: tools.clone(), image: image.clone(), record, faults, report: None };
    (case.run)(&mut Trial::new(case.name, folder, Arc::new(shared), trial.deadline.left()))
}
