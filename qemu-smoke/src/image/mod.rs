//! The guest: a kernel of Debian, and an initramfs with a static busybox, the drivers in the order
//! in which they need each other, and our own program.

mod files;
mod kernel;
mod modules;

use std::fs;
use std::hash::{DefaultHasher, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::programs;

/// Where `setup` unpacks programs that it must not install, in the cache.
pub(crate) const TOOLS_FOLDER: &str = "tools";

pub(crate) use kernel::{FOLDER as KERNEL_FOLDER, Kernel};

/// What the guest boots.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// The kernel.
    pub(crate) kernel: PathBuf,
    /// Its release, as `uname -r` says.
    pub(crate) release: String,
    /// The initramfs.
    pub(crate) files: PathBuf,
    /// It has the drivers for 9p.
    pub(crate) has_9p: bool,
    /// It has `dhclient`.
    pub(crate) has_dhclient: bool,
}

impl Image {
    /// The image of what is there now. It is written when no image of the same content is in the
    /// cache.
    ///
    /// # Errors
    /// A part is missing; which one.
    pub(crate) fn new(cache: &Path, chosen: Option<&Path>) -> Result<Self> {
        let kernel = Kernel::find(cache, chosen)?;
        let modules = modules::needed(&kernel)?;
        let program = programs::guest(cache)?;
        let mut archive = files::Archive::default();
        let has_dhclient = files::fill(&mut archive, &modules, &program, &busybox(cache)?)?;
        let bytes = archive.end()?;
        let mut hasher = DefaultHasher::new();
        hasher.write(&bytes);
        let name = format!("guest-{:016x}.cpio", hasher.finish());
        let files = cache.join(name);
        if !files.exists() {
            // A reader never sees half a file.
            let part = tempfile::NamedTempFile::new_in(cache)?;
            fs::write(part.path(), &bytes)
                .and_then(|()| part.persist(&files).map_err(|error| error.error).map(drop))
                .with_context(|| format!("{} cannot be written", files.display()))?;
        }
        let has_9p = modules.iter().any(|module| module.name == "9pnet_virtio.ko");
        Ok(Self { kernel: kernel.image, release: kernel.release, files, has_9p, has_dhclient })
    }
}

/// The static busybox.
///
/// # Errors
/// There is none.
pub(crate) fn busybox(cache: &Path) -> Result<PathBuf> {
    files::busybox(cache)
}
