//! Where files are: the workspace, the cache, and the folder of a run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::identity::Identity;

/// The workspace that this program was built from.
pub(crate) fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Where kernel and guest image are kept, which is made if need be.
///
/// # Errors
/// It cannot be made.
pub(crate) fn cache(chosen: Option<&Path>) -> Result<PathBuf> {
    let folder = match chosen {
        Some(folder) => std::path::absolute(folder)?,
        None => workspace().join("target/qemu-smoke"),
    };
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    Ok(folder)
}

/// The folder of a run: sockets and logs of all cases. It is gone when it is dropped, unless it is
/// to be kept.
#[derive(Debug)]
pub(crate) struct RunFolder(TempDir);

/// How the name of such a folder begins.
pub(crate) const RUN_PREFIX: &str = "qemu-smoke-";

/// The file in it that says whose it is.
pub(crate) const OWNER: &str = "owner";

/// Bytes that the path of a socket may have, with the 0 behind it.
pub(crate) const SOCKET_PATH_MAX: usize = 108;

/// Bytes that are left for the name of a case, of a socket in its folder, and two separators.
const NAMES_MAX: usize = 60;

impl RunFolder {
    /// A new folder among the temporary files.
    ///
    /// # Errors
    /// It cannot be made, or sockets in it would have paths that are too long.
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix(RUN_PREFIX).tempdir();
        let folder = folder.context("a folder for this run cannot be made")?;
        let len = folder.path().as_os_str().len();
        ensure!(
            len + NAMES_MAX < SOCKET_PATH_MAX,
            "{}: too long a path for sockets, which have {SOCKET_PATH_MAX} bytes; set TMPDIR",
            folder.path().display()
        );
        // `clean` removes it when we were killed.
        Identity::own().context("/proc does not know us")?.save(&folder.path().join(OWNER))?;
        Ok(Self(folder))
    }

    /// Makes the folder of a case.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn of_case(&self, name: &str) -> Result<PathBuf> {
        let folder = self.0.path().join(name);
        fs::create_dir(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(folder)
    }

    /// It stays; where it is.
    pub(crate) fn keep(self) -> PathBuf {
        self.0.keep()
    }
}
