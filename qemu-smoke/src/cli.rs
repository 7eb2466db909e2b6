//! The command line.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::cases::Group;
use crate::faulty;

/// Smoke tests with a real QEMU on both ends of the vhost-user socket
///
/// Exit code 0: all passed. 1: something failed, or the environment lacks what is needed. 2: the
/// command line is not understood.
#[derive(Debug, Parser)]
#[command(name = "qemu-smoke", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// What is installed, and whether KVM really boots a guest
    Check(Common),
    /// Installs what is missing (Debian, Ubuntu), and fetches a kernel for the guest
    Setup(SetupOptions),
    /// Ends servers that are left, and removes the folders of runs that have ended
    Clean(CleanOptions),
    /// A QEMU that stays, whose vhost-user-net socket listens
    #[command(subcommand)]
    Server(ServerCommand),
    /// Every case, by name and group
    List,
    /// Negotiates with a back-end that listens, and prints what it offers, field by field
    Client {
        /// Where it listens
        #[arg(long, value_name = "PATH")]
        socket: PathBuf,
    },
    /// Messages and protocol against our back-end and against a scripted one
    Basic(RunOptions),
    /// A Linux guest behind our back-end: lease, ping, resets
    Net(RunOptions),
    /// The same with packed rings
    Packed(RunOptions),
    /// Several pairs of queues
    Mq(RunOptions),
    /// A back-end that is killed and comes back, and a guest that moves
    Reconnect(RunOptions),
    /// iPXE of QEMU's own ROM: a guest that needs no kernel
    Ipxe(RunOptions),
    /// QEMU as the back-end: blocks through qemu-storage-daemon
    Blk(RunOptions),
    /// Latency, round trips, packets and blocks per second
    Perf(RunOptions),
    /// Many, rude and slow clients at once
    Stress(RunOptions),
    /// The test pipeline inside a guest, with a report
    Vm(RunOptions),
    /// Every case of every group
    All(RunOptions),
    /// The cases that every change has to pass
    Ci(RunOptions),
    /// Cases under deliberate faults: passes if each fault makes the case fail that is to see it
    Selftest(RunOptions),
    /// What is wrong with DHCP in `selftest`
    #[command(hide = true)]
    FaultyBackEnd(faulty::Options),
    /// Cases by their names, or by how their names begin
    Run {
        /// Names, as `list` prints them, or beginnings of names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        #[command(flatten)]
        options: RunOptions,
    },
}

/// What each command that starts a guest is told.
#[derive(Clone, Debug, Args, Serialize, Deserialize)]
pub(crate) struct Common {
    /// What runs the guest
    #[arg(long, value_enum, default_value_t = Accel::Auto)]
    pub(crate) accel: Accel,

    /// The QEMU to use [default: qemu-system-x86_64 of the search path]
    #[arg(long, value_name = "FILE")]
    pub(crate) qemu: Option<PathBuf>,

    /// The kernel of the guest; its modules are looked for in /lib/modules or beside it
    /// [default: what `setup` has fetched]
    #[arg(long, value_name = "FILE")]
    pub(crate) kernel: Option<PathBuf>,

    /// Where kernel and guest image are kept [default: target/qemu-smoke]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) cache: Option<PathBuf>,
}

/// What is installed and fetched.
#[derive(Clone, Debug, Args)]
pub(crate) struct SetupOptions {
    #[command(flatten)]
    pub(crate) common: Common,

    /// Install nothing: fetch only the kernel
    #[arg(long)]
    pub(crate) no_install: bool,

    /// Do not build the test programs that `vm` runs in the guest; it builds them itself then
    #[arg(long)]
    pub(crate) no_tests: bool,
}

/// What is removed.
#[derive(Clone, Debug, Args)]
pub(crate) struct CleanOptions {
    /// Where kernel and guest image are kept [default: target/qemu-smoke]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) cache: Option<PathBuf>,

    /// Remove kernel and guest image, too
    #[arg(long)]
    pub(crate) with_cache: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ServerCommand {
    /// Starts one; its guest begins when a back-end has connected
    Start(StartOptions),
    /// Ends one
    Stop(ServerName),
    /// Tells socket, pid, uptime, and where the logs are; exit code 1 when it does not run
    Status(ServerName),
    /// Ends one, and starts it with the options that it had
    Restart(ServerName),
}

/// Which server.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServerName {
    /// How the server is called
    #[arg(long, default_value = "default", value_parser = server_name)]
    pub(crate) name: String,

    /// Where servers are remembered [default: target/qemu-smoke]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) cache: Option<PathBuf>,
}

/// What a server is like.
#[derive(Clone, Debug, Args, Serialize, Deserialize)]
pub(crate) struct StartOptions {
    #[command(flatten)]
    pub(crate) common: Common,

    /// How the server is called
    #[arg(long, default_value = "default", value_parser = server_name)]
    pub(crate) name: String,

    /// Where it listens [default: a path in the cache, which `status` tells]
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,

    /// Memory of the guest in MiB
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(128..=65536))]
    pub(crate) memory: u32,

    /// Arguments for QEMU, behind those that it gets from us
    #[arg(last = true, value_name = "ARGUMENT")]
    pub(crate) arguments: Vec<String>,
}

impl StartOptions {
    /// The same with paths that do not depend on the current folder.
    ///
    /// # Errors
    /// There is no current folder.
    pub(crate) fn absolute(&self) -> Result<Self> {
        let mut options = self.clone();
        let common = &mut options.common;
        let paths = [&mut common.qemu, &mut common.kernel, &mut common.cache, &mut options.socket];
        for path in paths.into_iter().filter_map(Option::as_mut) {
            *path = std::path::absolute(&*path)?;
        }
        Ok(options)
    }
}

/// Reads the name of a server, which is the name of a folder, too.
fn server_name(text: &str) -> Result<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    ensure!(
        (1..=32).contains(&text.len()) && text.chars().all(is_plain),
        "1 to 32 letters, digits, - and _ are expected"
    );
    Ok(text.to_owned())
}

/// How cases are run.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunOptions {
    #[command(flatten)]
    pub(crate) common: Common,

    // The name has no place in a doc comment, which is Markdown.
    #[arg(long, value_name = "FILE", help = "Write the results as JUnit XML")]
    pub(crate) junit: Option<PathBuf>,

    /// Write the results as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Keep the logs of cases that passed, too, and say where they are
    #[arg(long)]
    pub(crate) keep: bool,

    /// Save every session that crosses a socket as scripts: FOLDER/session/CASE-LINK-N with what
    /// the device offered in front, and FOLDER/msg_stream/CASE-LINK-N as it was, in parts (.2, .3)
    /// if it is long. `cargo xtask corpus explain` prints them, `corpus add` makes seeds of them
    #[arg(long, value_name = "FOLDER")]
    pub(crate) record: Option<PathBuf>,

    /// Write the report of the pipeline inside a guest (`vm`), in Markdown
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// A case that cannot run because something is not installed has failed
    #[arg(long, env = "VHOST_FUZZ_REQUIRE_QEMU", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) require: bool,
}

/// What runs the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Accel {
    /// KVM if it boots a guest in time, else TCG
    Auto,
    /// KVM
    Kvm,
    /// TCG
    Tcg,
}

impl Command {
    /// The group of cases that it runs, if it is one of those commands.
    pub(crate) fn group(&self) -> Option<(Group, &RunOptions)> {
        Some(match self {
            Self::Basic(options) => (Group::Basic, options),
            Self::Net(options) => (Group::Net, options),
            Self::Packed(options) => (Group::Packed, options),
            Self::Mq(options) => (Group::Mq, options),
            Self::Reconnect(options) => (Group::Reconnect, options),
            Self::Ipxe(options) => (Group::Ipxe, options),
            Self::Blk(options) => (Group::Blk, options),
            Self::Perf(options) => (Group::Perf, options),
            Self::Stress(options) => (Group::Stress, options),
            Self::Vm(options) => (Group::Vm, options),
            _ => return None,
        })
    }
}
