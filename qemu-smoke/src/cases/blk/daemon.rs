//! QEMU's back-end for blocks, on an image of our own.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::link::is_listening;
use crate::link::{Link, Listens};
use crate::process::{Pipes, Process};
use crate::trial::Trial;

/// Bytes of an image.
pub(crate) const IMAGE: u64 = 16 << 20;

/// Queues that it offers.
pub(crate) const QUEUES: u16 = 2;

/// `qemu-storage-daemon`, which is killed when it is dropped, and its image.
#[derive(Debug)]
pub(crate) struct Daemon {
    process: Process,
    command: Command,
    log: PathBuf,
    link: Link,
    image: File,
}

impl Daemon {
    /// Starts it with an image full of zeros, and waits until it listens.
    ///
    /// # Errors
    /// It ends, or does not listen in time.
    pub(crate) fn start(trial: &Trial) -> Result<Self> {
        let path = trial.path("image");
        let image = File::options().read(true).write(true).create_new(true).open(&path)?;
        image.set_len(IMAGE)?;
        let link = Link::new(trial, "disk", Listens::Back)?;
        let program = trial.shared.tools.storage_daemon.as_ref();
        let mut command = Command::new(program.context("qemu-storage-daemon is not installed")?);
        command
            .arg("--blockdev")
            .arg(format!("driver=file,node-name=file,discard=unmap,filename={}", path.display()));
        command.args(["--blockdev", "driver=raw,node-name=disk,discard=unmap,file=file"]);
        command.arg("--export").arg(format!(
            "type=vhost-user-blk,id=export,addr.type=unix,addr.path={},node-name=disk,\
             writable=on,num-queues={QUEUES}",
            link.back.display()
        ));
        let log = trial.path("daemon.log");
        let process = Process::start(&command, "qemu-storage-daemon", log.clone(), Pipes::None)?;
        let mut daemon = Self { process, command, log, link, image };
        daemon.wait(trial)?;
        Ok(daemon)
    }

    /// Kills it without a warning, and starts it anew on the same image.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) fn restart(&mut self, trial: &Trial) -> Result<()> {
        self.process.kill();
        // What a killed one left at the path nobody listens at.
        if self.link.back.exists() {
            fs::remove_file(&self.link.back)?;
        }
        self.process =
            Process::start(&self.command, "qemu-storage-daemon", self.log.clone(), Pipes::None)?;
        self.wait(trial)
    }

    fn wait(&mut self, trial: &Trial) -> Result<()> {
        let what = "qemu-storage-daemon does not listen";
        trial.deadline.within(Duration::from_secs(20)).wait_for(what, || {
            self.process.check()?;
            Ok(is_listening(&self.link.back).then_some(()))
        })
    }

    /// Where front-ends find it.
    pub(crate) fn path(&self) -> &Path {
        &self.link.front
    }

    /// # Errors
    /// It has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.process.check()
    }

    /// What is in the image, as the file system has it.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn read(&self, sector: u64, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.image.read_exact_at(&mut bytes, sector * 512)?;
        Ok(bytes)
    }

    /// Puts something into the image, past the daemon.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn write(&self, sector: u64, bytes: &[u8]) -> Result<()> {
        Ok(self.image.write_all_at(bytes, sector * 512)?)
    }
}
