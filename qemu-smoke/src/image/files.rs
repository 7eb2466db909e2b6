//! The files of the guest, as an archive that a kernel unpacks at its start (cpio, `newc`).

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use cpio::NewcBuilder;

use super::TOOLS_FOLDER;
use super::modules::Module;
use crate::process;
use crate::tools;
use crate::trial::Deadline;

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const DATA: u32 = 0o100_644;

/// Folders that are there before anything is mounted.
const FOLDERS: [&str; 9] = ["bin", "dev", "etc", "lib", "lib/modules", "proc", "sys", "tmp", "var"];

/// An archive in the making.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    folders: BTreeSet<PathBuf>,
    inode: u32,
}

impl Archive {
    /// Adds a folder, and those it is in.
    fn folder(&mut self, path: &Path) -> Result<()> {
        if path.as_os_str().is_empty() || self.folders.contains(path) {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.folder(parent)?;
        }
        self.folders.insert(path.to_owned());
        self.entry(path, FOLDER, &[])
    }

    /// Adds a file, and the folders it is in.
    fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        let path = Path::new(path.trim_start_matches('/'));
        if let Some(parent) = path.parent() {
            self.folder(parent)?;
        }
        self.entry(path, mode, bytes)
    }

    fn entry(&mut self, path: &Path, mode: u32, bytes: &[u8]) -> Result<()> {
        use std::io::Write as _;
        self.inode += 1;
        let len = u32::try_from(bytes.len()).context("a file of more than 4 GiB")?;
        let name = path.to_string_lossy();
        let builder = NewcBuilder::new(&name).ino(self.inode).nlink(1).mode(mode);
        let mut writer = builder.write(&mut self.bytes, len);
        writer.write_all(bytes)?;
        writer.finish()?;
        Ok(())
    }

    /// The whole archive.
    pub(super) fn end(self) -> Result<Vec<u8>> {
        Ok(cpio::newc::trailer(self.bytes)?)
    }
}

/// The static busybox: the installed one, or one that `setup` has unpacked.
///
/// # Errors
/// There is none, or none that is static.
pub(super) fn busybox(cache: &Path) -> Result<PathBuf> {
    let folder = cache.join(TOOLS_FOLDER);
    let unpacked = ["bin/busybox", "usr/bin/busybox"].map(|name| folder.join(name));
    let installed = tools::BUSYBOX.find();
    let mut all = installed.iter().chain(&unpacked);
    if let Some(found) = all.find(|file| read(file).is_ok_and(|bytes| is_static(&bytes))) {
        return Ok(found.clone());
    }
    bail!("{} is not static; `setup` installs busybox-static", installed?.display())
}

/// Puts everything into the archive. Whether `dhclient` is among it.
///
/// # Errors
/// A part is missing; which one.
pub(super) fn fill(
    archive: &mut Archive,
    modules: &[Module],
    program: &Path,
    busybox: &Path,
) -> Result<bool> {
    for folder in FOLDERS {
        archive.folder(Path::new(folder))?;
    }
    archive.file("bin/busybox", PROGRAM, &read(busybox)?)?;
    archive.file("init", PROGRAM, include_bytes!("files/init"))?;
    archive.file("etc/lease", PROGRAM, include_bytes!("files/lease"))?;
    archive.file("etc/dhclient", PROGRAM, include_bytes!("files/dhclient"))?;
    archive.file("bin/smoke", PROGRAM, &read(program)?)?;
    let mut order = String::new();
    for module in modules {
        order += &module.name;
        order.push('\n');
        archive.file(&format!("lib/modules/{}", module.name), DATA, &module.bytes)?;
    }
    archive.file("lib/modules/order", DATA, order.as_bytes())?;
    let Ok(dhclient) = tools::DHCLIENT.find() else { return Ok(false) };
    archive.file("bin/dhclient", PROGRAM, &read(&dhclient)?)?;
    for library in libraries(&dhclient)? {
        archive.file(&library.to_string_lossy(), PROGRAM, &read(&library)?)?;
    }
    Ok(true)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// Whether a program needs no loader. One that does names it: `/lib64/ld-linux-x86-64.so.2`.
fn is_static(program: &[u8]) -> bool {
    !program.windows(8).any(|bytes| bytes == b"/ld-linu")
}

/// The files that a program is linked with, the loader among them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let mut ldd = Command::new("ldd");
    let text = process::output(ldd.arg(program), &Deadline::after(Duration::from_secs(10)))?;
    Ok(linked(&text))
}

/// Reads what `ldd` prints: ` name => path (address)` or ` path (address)`.
fn linked(text: &str) -> Vec<PathBuf> {
    let paths = text.lines().filter_map(|line| {
        let words = line.split_ascii_whitespace();
        words.into_iter().find(|word| word.starts_with('/'))
    });
    paths.map(|path| PathBuf::from(OsStr::from_bytes(path.as_bytes()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_there_before_their_files_and_once() {
        let mut archive = Archive::default();
        archive.file("a/b/c", DATA, b"1").unwrap();
        archive.file("/a/b/d", DATA, b"22").unwrap();
        let bytes = archive.end().unwrap();
        let mut names = Vec::new();
        let mut rest = &bytes[..];
        loop {
            let entry = cpio::NewcReader::new(rest).unwrap();
            if entry.entry().is_trailer() {
                break;
            }
            names.push((entry.entry().name().to_owned(), entry.entry().file_size()));
            rest = entry.finish().unwrap();
        }
        let name = |name: &str, len| (name.to_owned(), len);
        assert_eq!(names, [name("a", 0), name("a/b", 0), name("a/b/c", 1), name("a/b/d", 2)]);
    }

    #[test]
    fn the_files_of_a_program_are_read_out_of_what_ldd_prints() {
        let text = "\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x2)\n\t/lib64/ld.so (0x3)\n";
        assert_eq!(linked(text), [Path::new("/lib/x/libc.so.6"), Path::new("/lib64/ld.so")]);
    }
}
