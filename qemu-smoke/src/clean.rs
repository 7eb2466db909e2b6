//! Removes what was left: servers, the folders of runs, and the cache if that is asked for.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use nix::unistd::geteuid;

use crate::check;
use crate::cli::CleanOptions;
use crate::identity::Identity;
use crate::image;
use crate::places::{self, OWNER, RUN_PREFIX};
use crate::server;

/// What is in the cache. A folder that was chosen may have other things in it, which stay.
const CACHED: [&str; 8] = [
    image::KERNEL_FOLDER,
    "kernel.part",
    "guest-build",
    image::TOOLS_FOLDER,
    "apt",
    "setup.log",
    check::VERDICT,
    server::FOLDER,
];

/// Does it, and says what was done.
///
/// # Errors
/// Something cannot be removed.
pub(crate) fn run(options: &CleanOptions) -> Result<ExitCode> {
    let cache = places::cache(options.cache.as_deref())?;
    let mut count = 0;
    for server in server::all(&cache)? {
        let words = match server.stop()? {
            Some(pid) => format!("ended server {} (pid {pid})", server.name()),
            None => format!("forgot server {}, which had ended by itself", server.name()),
        };
        println!("{words}");
        count += 1;
    }
    count += remove(&cache.join(server::FOLDER))?;
    count += runs(&std::env::temp_dir())?;
    if options.with_cache {
        count += cached(&cache)?;
    }
    if count == 0 {
        println!("nothing was left behind");
    }
    Ok(ExitCode::SUCCESS)
}

/// Removes the folders of runs that have ended: of those that were killed, and those that were
/// kept for their logs.
fn runs(temporary: &Path) -> Result<u32> {
    let mut count = 0;
    let entries = fs::read_dir(temporary);
    let entries = entries.with_context(|| format!("{} cannot be read", temporary.display()))?;
    for entry in entries {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(RUN_PREFIX) {
            continue;
        }
        // It may be gone by now. A link is not followed: only a folder that is ours is removed.
        let Ok(file) = entry.metadata() else { continue };
        let is_ours = file.is_dir() && file.uid() == geteuid().as_raw();
        let owner = Identity::load(&entry.path().join(OWNER));
        if is_ours && owner.is_some_and(|owner| !owner.is_alive()) {
            count += remove(&entry.path())?;
        }
    }
    Ok(count)
}

/// Removes what we have put into the cache, and the folder if nothing is left in it.
fn cached(cache: &Path) -> Result<u32> {
    let mut count = 0;
    for name in CACHED {
        count += remove(&cache.join(name))?;
    }
    for entry in fs::read_dir(cache)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("guest-") && name.ends_with(".cpio") {
            count += remove(&entry.path())?;
        }
    }
    // It stays if there is something in it that is not ours.
    let _ = fs::remove_dir(cache);
    Ok(count)
}

/// Removes a file or a folder, and says so. How many were removed.
fn remove(path: &Path) -> Result<u32> {
    let Ok(file) = fs::symlink_metadata(path) else { return Ok(0) };
    let removed = if file.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.with_context(|| format!("{} cannot be removed", path.display()))?;
    println!("removed {}", path.display());
    Ok(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_runs_that_have_ended_are_removed() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let path = temporary.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let alive = folder("qemu-smoke-alive");
        Identity::own().expect("we run").save(&alive.join(OWNER)).unwrap();
        let dead = folder("qemu-smoke-dead");
        fs::write(dead.join(OWNER), r#"{"pid":1,"start":1}"#).unwrap();
        let foreign = folder("qemu-smoke-foreign");
        let other = folder("other");
        fs::copy(dead.join(OWNER), other.join(OWNER)).unwrap();
        assert_eq!(runs(temporary.path()).unwrap(), 1);
        let left = [&alive, &dead, &foreign, &other].map(|path| path.exists());
        assert_eq!(left, [true, false, true, true]);
    }

    #[test]
    fn what_is_not_ours_stays_in_the_cache() {
        let cache = tempfile::tempdir().unwrap();
        for name in ["kvm", "guest-1.cpio", "guest-notes.txt"] {
            fs::write(cache.path().join(name), "").unwrap();
        }
        assert_eq!(cached(cache.path()).unwrap(), 2);
        assert!(cache.path().join("guest-notes.txt").exists());
    }
}
