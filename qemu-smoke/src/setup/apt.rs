//! Packages of Debian and Ubuntu.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use super::sources::Source;
use crate::process::{self, last_words};
use crate::tools::Program;
use crate::trial::Deadline;

/// How long apt may take for one thing: lists and packages come over a network.
const LIMIT: Duration = Duration::from_secs(900);

/// How long it may take to end when it is told to: what it is unpacking has to be finished.
const GRACE: Duration = Duration::from_secs(60);

const APT_GET: Program = Program { name: "apt-get", package: "apt" };

/// What a package manager must not ask, and how long it waits for another one.
const SETTINGS: [&str; 4] = ["-o", "DPkg::Lock::Timeout=120", "-o", "Dpkg::Use-Pty=0"];

/// Who may install.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Power {
    /// We are root.
    Root,
    /// We become it.
    Sudo,
    /// Nobody here.
    Nobody,
}

/// The package manager.
#[derive(Debug)]
pub(super) struct Apt {
    power: Power,
    /// What it prints.
    log: PathBuf,
    /// Lists of packages that are not the system's.
    folder: PathBuf,
    /// Options that choose those lists.
    lists: Vec<OsString>,
}

impl Apt {
    /// It, if this system has it.
    ///
    /// # Errors
    /// The log cannot be written.
    pub(super) fn find(cache: &Path) -> Result<Option<Self>> {
        if APT_GET.find().is_err() {
            return Ok(None);
        }
        let log = cache.join("setup.log");
        File::create(&log).with_context(|| format!("{} cannot be written", log.display()))?;
        let power = if geteuid().is_root() { Power::Root } else { sudo() };
        Ok(Some(Self { power, log, folder: cache.join("apt"), lists: Vec::new() }))
    }

    /// Whether we are root, or can become it.
    pub(super) fn can_install(&self) -> bool {
        self.power != Power::Nobody
    }

    /// Installs packages. Nothing that is installed is removed for them.
    ///
    /// # Errors
    /// We must not; or those that cannot be installed.
    pub(super) fn install(&self, packages: &[&str]) -> Result<()> {
        let names = packages.join(" ");
        if !self.can_install() {
            bail!(
                "packages can only be installed by root. Run this, and then `setup` again:\n    \
                 apt-get install --no-remove --no-install-recommends {names}"
            );
        }
        super::say(&format!("installing {names}"));
        if self.try_install(&[], packages).is_ok() {
            return Ok(());
        }
        super::say("apt-get does not do it with the lists that it has; getting new ones");
        self.update()?;
        if self.try_install(&[], packages).is_ok() {
            return Ok(());
        }
        // One package that is refused must not hold up the others.
        let refused: Vec<&str> = packages
            .iter()
            .filter(|package| self.try_install(&[], &[package]).is_err())
            .copied()
            .collect();
        if refused.is_empty() {
            return Ok(());
        }
        super::say(&format!("apt-get refuses {}; trying backports", refused.join(" ")));
        self.backports(&refused).with_context(|| {
            format!("{} cannot be installed; see {}", refused.join(" "), self.log.display())
        })
    }

    /// Installs packages of a later release that were made for this one. A system whose
    /// `qemu-utils` is such a package refuses the plain `qemu-system-x86`.
    fn backports(&self, packages: &[&str]) -> Result<()> {
        let release = fs::read_to_string("/etc/os-release").context("/etc/os-release")?;
        let field = |name: &str| {
            let mut lines = release.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            value.map(|value| value.trim_matches('"').to_owned())
        };
        let codename = field("VERSION_CODENAME").context("/etc/os-release names no release")?;
        let suite = format!("{codename}-backports");
        let system = Path::new("/etc/apt");
        let options = if Source::of_release(system, &suite).is_some() {
            Vec::new()
        } else {
            let source = Source::of_release(system, &codename)
                .with_context(|| format!("no source of packages for {codename} in /etc/apt"))?;
            let is_ubuntu = field("ID").is_some_and(|id| id == "ubuntu");
            let components = if is_ubuntu { "main universe" } else { "main" };
            let line = source.line(&suite, components);
            // A list that is given takes the place of this one, not of those beside it.
            let own = fs::read_to_string(system.join("sources.list")).unwrap_or_default();
            let lists = self.folder.join("backports");
            fs::create_dir_all(&lists)?;
            let file = self.folder.join("backports.list");
            fs::write(&file, format!("{own}\n{line}"))?;
            let set = |name: &str, path: &Path| {
                let mut option = OsString::from(format!("{name}="));
                option.push(path);
                [OsString::from("-o"), option]
            };
            [set("Dir::State::lists", &lists), set("Dir::Etc::sourcelist", &file)].concat()
        };
        let mut update = options.clone();
        update.push("update".into());
        let mut target = options;
        target.extend(["-t".into(), suite.into()]);
        let result = self.root(&update).and_then(|()| {
            // All of them are tried, whatever becomes of the first.
            let mut result = Ok(());
            for package in packages {
                result = result.and(self.try_install(&target, &[package]));
            }
            result
        });
        // The lists are root's, and nobody else can remove them later.
        let mut remove = self.privileged("rm");
        remove.arg("-rf").arg(&self.folder);
        result.and(self.logged(&mut remove))
    }

    fn update(&self) -> Result<()> {
        self.root(&["update".into()])
    }

    fn try_install(&self, options: &[OsString], packages: &[&str]) -> Result<()> {
        let mut arguments = options.to_vec();
        let install = ["install", "-y", "--no-remove", "--no-install-recommends"];
        arguments.extend(install.iter().chain(packages).map(OsString::from));
        self.root(&arguments)
    }

    /// The packages that a package depends on, by the beginnings of their names.
    pub(super) fn depends(&self, package: &str, beginning: &str) -> Vec<String> {
        let mut command = Command::new("apt-cache");
        command.args(&self.lists).args(["depends", package]);
        // What is not known depends on nothing.
        let text = process::output(&mut command, &Deadline::after(LIMIT)).unwrap_or_default();
        let names = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        names.filter(|name| name.starts_with(beginning)).map(str::to_owned).collect()
    }

    /// Gets new lists: the system's, or ones of our own when those are not ours to change.
    ///
    /// # Errors
    /// They cannot be fetched.
    pub(super) fn refresh(&mut self) -> Result<()> {
        if self.can_install() {
            return self.update();
        }
        let (lists, packages) = (self.folder.join("lists"), self.folder.join("cache"));
        for folder in [lists.join("partial"), packages.join("archives/partial")] {
            fs::create_dir_all(&folder)
                .with_context(|| format!("{} cannot be made", folder.display()))?;
        }
        for (name, path) in [("Dir::State::lists", lists), ("Dir::Cache", packages)] {
            self.lists.extend(["-o".into(), format!("{name}={}", path.display()).into()]);
        }
        let mut command = Command::new("apt-get");
        self.logged(command.args(SETTINGS).args(&self.lists).arg("update"))
    }

    /// Removes lists of our own. Those that root has fetched are gone already.
    pub(super) fn clear(&self) {
        // There may be none.
        let _ = fs::remove_dir_all(&self.folder);
    }

    /// Fetches a package, and unpacks it in a folder without installing it.
    ///
    /// # Errors
    /// It cannot be fetched, or the disk is full.
    pub(super) fn unpack(&self, package: &str, into: &Path) -> Result<()> {
        fs::create_dir_all(into).with_context(|| format!("{} cannot be made", into.display()))?;
        let folder = tempfile::tempdir_in(into.parent().unwrap_or(into))?;
        let mut command = Command::new("apt-get");
        command.args(SETTINGS).args(&self.lists).args(["download", package]);
        self.logged(command.current_dir(folder.path()))?;
        let files = fs::read_dir(folder.path())?.filter_map(|entry| Some(entry.ok()?.path()));
        let deb = files.into_iter().next();
        let deb = deb.with_context(|| format!("apt-get download {package} left no file"))?;
        let mut unpack = Command::new("dpkg-deb");
        self.logged(unpack.arg("-x").arg(&deb).arg(into))
    }

    /// Runs apt-get as root.
    fn root(&self, arguments: &[OsString]) -> Result<()> {
        let mut command = self.privileged("apt-get");
        self.logged(command.args(SETTINGS).args(arguments))
    }

    /// A command that root runs.
    fn privileged(&self, program: &str) -> Command {
        let mut command = match self.power {
            Power::Sudo => {
                let mut command = Command::new("sudo");
                command.args(["-n", "env"]);
                command
            }
            Power::Root | Power::Nobody => Command::new("env"),
        };
        command.args(["DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", program]);
        command
    }

    /// Runs a command whose output goes to the log.
    fn logged(&self, command: &mut Command) -> Result<()> {
        let mut log = File::options().append(true).open(&self.log)?;
        let words = command.get_args().map(|word| word.to_string_lossy().into_owned());
        let words: Vec<_> = words.collect();
        let program = command.get_program().to_string_lossy().into_owned();
        writeln!(log, "\n$ {program} {}", words.join(" "))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let child = command.spawn();
        let mut child = child.with_context(|| format!("{program} cannot be started"))?;
        let end = |child: &mut std::process::Child, deadline: Deadline| {
            let what = format!("{program} does not end");
            deadline.wait_for(&what, || child.try_wait().map_err(Into::into))
        };
        let ended = end(&mut child, Deadline::after(LIMIT));
        if ended.is_err() {
            // In the middle of an installation it has to be asked, not killed.
            if let Ok(pid) = i32::try_from(child.id()) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
            let begin = std::time::Instant::now();
            while child.try_wait()?.is_none() && begin.elapsed() < GRACE {
                std::thread::sleep(process::PAUSE);
            }
        }
        let status = ended?;
        ensure!(
            status.success(),
            "{program} {} ended with {status}; see {}{}",
            words.join(" "),
            self.log.display(),
            last_words(&self.log)
        );
        Ok(())
    }
}

/// Whether sudo makes us root. Where there is somebody to ask, it may ask for a password.
fn sudo() -> Power {
    let can = |arguments: &[&str]| {
        let status = Command::new("sudo").args(arguments).stdout(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    let asks = std::io::stdin().is_terminal();
    if (asks && can(&["-v"])) || can(&["-n", "true"]) { Power::Sudo } else { Power::Nobody }
}
