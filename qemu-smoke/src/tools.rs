//! What is installed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};

use crate::process;
use crate::trial::Deadline;

/// How long a program may take to say its version.
const LIMIT: Duration = Duration::from_secs(10);

/// A program that cases need, and the package of Debian that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
}

/// The emulator.
pub(crate) const QEMU: Program = Program { name: "qemu-system-x86_64", package: "qemu-system-x86" };
/// The back-end for blocks.
pub(crate) const STORAGE_DAEMON: Program =
    Program { name: "qemu-storage-daemon", package: "qemu-utils" };
/// The shell and the tools of the guest. The static one is the same program in another package,
/// so that its file has to be looked at.
pub(crate) const BUSYBOX: Program = Program { name: "busybox", package: "busybox-static" };
/// Tells which module needs which.
pub(crate) const DEPMOD: Program = Program { name: "depmod", package: "kmod" };
/// A second DHCP client of the guest.
pub(crate) const DHCLIENT: Program = Program { name: "dhclient", package: "isc-dhcp-client" };

/// Modules of a kernel are compressed by one of these, or not at all.
pub(crate) const XZ: Program = Program { name: "xz", package: "xz-utils" };
/// Ubuntu's are compressed by this one.
pub(crate) const ZSTD: Program = Program { name: "zstd", package: "zstd" };

/// All that cases need.
pub(crate) const PROGRAMS: [Program; 5] = [QEMU, STORAGE_DAEMON, BUSYBOX, DEPMOD, DHCLIENT];

/// Folders that a search path without administrators' programs leaves out.
const SYSTEM: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

impl Program {
    /// Where it is.
    ///
    /// # Errors
    /// It is not installed; how to get it.
    pub(crate) fn find(self) -> Result<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(SYSTEM.map(PathBuf::from));
        let found = folders.map(|folder| folder.join(self.name)).find(|file| is_program(file));
        found.ok_or_else(|| {
            anyhow!("{} (package {}) is not installed; `setup` does it", self.name, self.package)
        })
    }
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// What QEMU says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

impl Version {
    /// The first number with a point in a line.
    fn read(text: &str) -> Option<Self> {
        let words = text.split(|c: char| !(c.is_ascii_digit() || c == '.'));
        words.filter(|word| word.contains('.')).find_map(|word| {
            let mut parts = word.split('.');
            let major = parts.next()?.parse().ok()?;
            Some(Self { major, minor: parts.next()?.parse().ok()? })
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The emulator that is used.
#[derive(Clone, Debug)]
pub(crate) struct Qemu {
    pub(crate) path: PathBuf,
    pub(crate) version: Version,
}

impl Qemu {
    /// The one that was chosen, or that of the search path.
    ///
    /// # Errors
    /// There is none, or it does not tell its version.
    pub(crate) fn find(chosen: Option<&Path>) -> Result<Self> {
        let path = match chosen {
            Some(path) => path.to_owned(),
            None => QEMU.find()?,
        };
        let version = version(&path)?;
        Ok(Self { path, version })
    }
}

/// What a program answers to `--version`.
///
/// # Errors
/// It is none of those that answer.
pub(crate) fn version(path: &Path) -> Result<Version> {
    let mut command = Command::new(path);
    let text = process::output(command.arg("--version"), &Deadline::after(LIMIT))
        .with_context(|| format!("{} --version", path.display()))?;
    Version::read(&text).ok_or_else(|| anyhow!("{}: no version in {text:?}", path.display()))
}

/// What is used of all that.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    pub(crate) qemu: Option<Qemu>,
    pub(crate) storage_daemon: Option<PathBuf>,
    /// Our own back-end.
    pub(crate) responder: PathBuf,
    /// What runs guests.
    pub(crate) is_kvm: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_out_of_what_qemu_prints() {
        let read = |text| Version::read(text).map(|version| version.to_string());
        let debian = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)\n";
        assert_eq!(read(debian).as_deref(), Some("10.0"));
        assert_eq!(read("qemu-storage-daemon version 7.2.19").as_deref(), Some("7.2"));
        assert_eq!(read("no version"), None);
        assert!(Version { major: 7, minor: 2 } < Version { major: 10, minor: 0 });
    }

    #[test]
    fn a_program_that_is_missing_is_named_with_its_package() {
        let error = Program { name: "no-such-program", package: "nothing" }.find().unwrap_err();
        assert!(error.to_string().contains("no-such-program (package nothing)"), "{error}");
    }
}
