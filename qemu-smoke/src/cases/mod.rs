//! What is tried: a table of named cases.

mod basic;
mod blk;
mod guest;
mod hotplug;
mod ipxe;
mod link;
mod net;
mod perf;
mod perf_guest;
mod reconnect;
mod selftest;
mod server;
mod stress;
mod vm;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use crate::tools::{QEMU, STORAGE_DAEMON};
use crate::trial::{Shared, Trial};

/// What cases have in common; each group is a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Basic,
    Net,
    Packed,
    Mq,
    Reconnect,
    Ipxe,
    Blk,
    Perf,
    Stress,
    Vm,
    Selftest,
    Server,
}

impl Group {
    /// The command that runs it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Net => "net",
            Self::Packed => "packed",
            Self::Mq => "mq",
            Self::Reconnect => "reconnect",
            Self::Ipxe => "ipxe",
            Self::Blk => "blk",
            Self::Perf => "perf",
            Self::Stress => "stress",
            Self::Vm => "vm",
            Self::Selftest => "selftest",
            Self::Server => "server",
        }
    }
}

/// What a case cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// QEMU.
    Qemu,
    /// A Linux guest.
    Guest,
    /// QEMU's back-end for blocks.
    StorageDaemon,
    /// Drivers of the guest for 9p.
    Plan9,
    /// A second DHCP client in the guest.
    Dhclient,
}

impl Need {
    /// What is missing, and how to get it.
    pub(crate) fn missing(self, shared: &Shared) -> Option<String> {
        let image = shared.image.as_ref();
        let install =
            |package: &str| format!("{package} is not installed; `qemu-smoke setup` does it");
        match self {
            Self::Qemu => shared.tools.qemu.is_none().then(|| install(QEMU.package)),
            Self::Guest => image
                .is_none()
                .then(|| "there is no guest; `qemu-smoke setup` fetches a kernel".to_owned()),
            Self::StorageDaemon => {
                shared.tools.storage_daemon.is_none().then(|| install(STORAGE_DAEMON.package))
            }
            Self::Plan9 => image
                .is_some_and(|image| !image.has_9p)
                .then(|| "the kernel of the guest has no 9p; a generic kernel has it".to_owned()),
            Self::Dhclient => {
                image.is_some_and(|image| !image.has_dhclient).then(|| install("isc-dhcp-client"))
            }
        }
    }
}

/// A case.
#[derive(Debug)]
pub(crate) struct Case {
    /// Unique; the group comes first, as in `net.lease`.
    pub(crate) name: &'static str,
    pub(crate) group: Group,
    /// What it shows, in a line.
    pub(crate) shows: &'static str,
    pub(crate) needs: &'static [Need],
    /// How long it may take.
    pub(crate) limit: Duration,
    /// Every change has to pass it.
    pub(crate) is_in_ci: bool,
    pub(crate) run: fn(&mut Trial) -> Result<()>,
}

/// All cases, in the order in which they run.
pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    let groups = [
        link::CASES,
        net::CASES,
        hotplug::CASES,
        server::CASES,
        reconnect::CASES,
        ipxe::CASES,
        blk::CASES,
        perf::CASES,
        perf_guest::CASES,
        stress::CASES,
        vm::CASES,
    ];
    basic::CASES.into_iter().chain(groups).flatten()
}

/// What shows that cases notice faults. It is not among [`all`] cases.
pub(crate) fn selftest() -> impl Iterator<Item = &'static Case> {
    selftest::CASES.iter()
}

/// Prints all cases.
pub(crate) fn list() -> ExitCode {
    for case in all() {
        let ci = if case.is_in_ci { "ci" } else { "" };
        println!("{:<34} {ci:<3} {}", case.name, case.shows);
    }
    ExitCode::SUCCESS
}
