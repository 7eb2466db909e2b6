//! The modules that the guest needs, in the order in which they need each other.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::kernel::Kernel;
use crate::process;
use crate::tools;
use crate::trial::Deadline;

/// Drivers without which there is no test.
const NEEDED: [&str; 2] = ["virtio_pci", "virtio_net"];

/// Drivers that kernels for clouds leave out.
const WISHED: [&str; 4] = ["virtio_blk", "9p", "9pnet_virtio", "af_packet"];

/// How long `depmod` and decompressors may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Module {
    /// The name of its file in the guest, which is not compressed.
    pub(super) name: String,
    /// The module.
    pub(super) bytes: Vec<u8>,
}

/// The modules that have to be loaded, the first first. Drivers that are built into the kernel are
/// not among them.
///
/// # Errors
/// One that is needed is neither there nor built in.
pub(super) fn needed(kernel: &Kernel) -> Result<Vec<Module>> {
    let folder = kernel.modules();
    let table = folder.join("modules.dep");
    if !table.exists() {
        // A package that was only unpacked has none.
        let mut depmod = Command::new(tools::DEPMOD.find()?);
        depmod.arg("-b").arg(&kernel.root).arg(&kernel.release);
        process::output(&mut depmod, &Deadline::after(LIMIT))?;
    }
    let read = |path: &Path| {
        fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
    };
    let table = read(&table)?;
    let built_in = read(&folder.join("modules.builtin"))?;
    let order = order(&table, &built_in)?;
    order.iter().map(|path| load(&folder.join(path))).collect()
}

/// The files of modules in the order in which they can be loaded, out of `modules.dep`, which
/// names for each module what it needs, the nearest first.
fn order(table: &str, built_in: &str) -> Result<Vec<String>> {
    let rows: BTreeMap<&str, (&str, &str)> = table
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(path, needs)| (stem(path), (path, needs)))
        .collect();
    let is_built_in = |name: &str| built_in.lines().any(|path| stem(path) == name);
    let mut order: Vec<String> = Vec::new();
    for (name, is_needed) in
        NEEDED.iter().map(|name| (name, true)).chain(WISHED.iter().map(|name| (name, false)))
    {
        match rows.get(name) {
            Some((path, needs)) => {
                let chain = needs.split_ascii_whitespace().rev().chain([*path]);
                for path in chain {
                    if !order.iter().any(|known| known == path) {
                        order.push(path.to_owned());
                    }
                }
            }
            None if is_needed && !is_built_in(name) => {
                bail!("the kernel has no {name}, neither as a module nor built in");
            }
            None => {}
        }
    }
    Ok(order)
}

/// The name of a module, out of its path.
fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split('.').next().unwrap_or(name)
}

/// Reads a module. What is compressed is unpacked, since not every kernel can do that itself.
fn load(path: &Path) -> Result<Module> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (plain, program) = if let Some(plain) = name.strip_suffix(".xz") {
        (plain, Some("xz"))
    } else if let Some(plain) = name.strip_suffix(".zst") {
        (plain, Some("zstd"))
    } else if let Some(plain) = name.strip_suffix(".gz") {
        (plain, Some("gzip"))
    } else {
        (&*name, None)
    };
    let failed = || format!("the module {} cannot be read", path.display());
    let bytes = match program {
        None => fs::read(path).with_context(failed)?,
        Some(program) => {
            let output = Command::new(program).arg("-dc").arg(path).output();
            let output = output.with_context(|| format!("{program}: {}", failed()))?;
            if !output.status.success() {
                bail!("{program} ended with {}: {}", output.status, failed());
            }
            output.stdout
        }
    };
    Ok(Module { name: plain.to_owned(), bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/virtio/virtio_ring.ko:
kernel/drivers/virtio/virtio_pci.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/net/virtio_net.ko.xz: kernel/net/core/failover.ko kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/net/core/failover.ko:
";

    #[test]
    fn what_is_needed_comes_first_and_once() {
        let order = order(TABLE, "").unwrap();
        let names: Vec<_> = order.iter().map(|path| stem(path)).collect();
        assert_eq!(names, ["virtio_ring", "virtio", "virtio_pci", "failover", "virtio_net"]);
    }

    #[test]
    fn what_is_built_in_is_not_missed() {
        assert_eq!(order("", "kernel/a/virtio_pci.ko\nkernel/b/virtio_net.ko\n").unwrap(), [""; 0]);
        let error = order("", "kernel/a/virtio_pci.ko\n").unwrap_err().to_string();
        assert!(error.contains("no virtio_net"), "{error}");
    }
}
