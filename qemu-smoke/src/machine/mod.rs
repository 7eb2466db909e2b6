//! A QEMU with a guest in it.

mod net;
mod qmp;
mod serial;

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::process::{Pipes, Process};
use crate::tools::Qemu;
use crate::trial::{Deadline, Trial};

pub(crate) use net::{NetOptions, has_vectors};
pub(crate) use qmp::Qmp;
pub(crate) use serial::{Answer, READY, Serial};

/// How long a guest may take from the start of QEMU to its first word. It is two to five seconds
/// on an idle machine.
const BOOT: Duration = Duration::from_secs(60);

/// How long QEMU may take to open its sockets.
const START: Duration = Duration::from_secs(20);

/// Memory of a guest in MiB.
const MEMORY: u32 = 256;

/// A QEMU that is to be started.
#[derive(Debug)]
pub(crate) struct Machine {
    name: String,
    arguments: Vec<OsString>,
    has_guest: bool,
}

impl Machine {
    /// A machine without devices and without anything to boot. Its memory is one that a back-end
    /// can map.
    ///
    /// # Errors
    /// QEMU is not installed.
    pub(crate) fn new(trial: &Trial, name: &str) -> Result<Self> {
        Self::with_memory(trial, name, MEMORY)
    }

    /// The same with so many MiB of memory.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn with_memory(trial: &Trial, name: &str, mib: u32) -> Result<Self> {
        let mut machine = Self { name: name.to_owned(), arguments: Vec::new(), has_guest: false };
        let accel = if trial.shared.tools.is_kvm { "kvm" } else { "tcg" };
        let memory = format!("memory-backend-memfd,id=mem,size={mib}M,share=on");
        machine.add(["-machine", "q35", "-accel", accel, "-m", &format!("{mib}M")]);
        machine.add(["-object", &memory, "-numa", "node,memdev=mem"]);
        machine.add(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        machine.add(["-name", name]);
        let socket = machine.qmp_path(trial);
        machine.add(["-qmp", &format!("unix:{},server=on,wait=off", socket.display())]);
        Ok(machine)
    }

    fn qmp_path(&self, trial: &Trial) -> std::path::PathBuf {
        trial.path(&format!("{}.qmp", self.name))
    }

    /// Puts arguments behind those that are there.
    pub(crate) fn add<A: Into<OsString>>(
        &mut self,
        arguments: impl IntoIterator<Item = A>,
    ) -> &mut Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Boots our guest, whose shell is then at the first serial port. What its kernel says is in
    /// the log of the second.
    ///
    /// # Errors
    /// There is no image.
    pub(crate) fn guest(&mut self, trial: &Trial) -> Result<&mut Self> {
        let console = trial.path(&format!("{}.console", self.name));
        self.has_guest = true;
        self.kernel(trial, "")?;
        self.add(["-serial", "stdio", "-serial", &format!("file:{}", console.display())]);
        Ok(self)
    }

    /// Boots our kernel and files. It is told `words`, and somebody else connects its serial ports.
    ///
    /// # Errors
    /// There is no image.
    pub(crate) fn kernel(&mut self, trial: &Trial, words: &str) -> Result<()> {
        let image = trial.image()?;
        self.add([OsString::from("-kernel"), image.kernel.clone().into()]);
        self.add([OsString::from("-initrd"), image.files.clone().into()]);
        self.add(["-append", &format!("console=ttyS1 panic=-1 quiet {words}")]);
        Ok(())
    }

    /// The arguments of QEMU so far.
    pub(crate) fn arguments(&self) -> &[OsString] {
        &self.arguments
    }

    /// A network device whose back-end is at the other end of a socket.
    pub(crate) fn net(&mut self, trial: &Trial, socket: &Path, options: &NetOptions) -> &mut Self {
        let version = trial.shared.tools.qemu.as_ref().map(|qemu| qemu.version);
        self.add(options.arguments(socket, version))
    }

    /// Starts it. With a guest it is up when this returns.
    ///
    /// # Errors
    /// It ends, or the guest does not speak in time.
    pub(crate) fn start(&self, trial: &Trial) -> Result<Running> {
        let mut running = self.launch(trial)?;
        if self.has_guest {
            running.boot(trial)?;
        }
        Ok(running)
    }

    /// Starts it, and does not wait for its guest: see [`Running::boot`].
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn launch(&self, trial: &Trial) -> Result<Running> {
        let qemu = trial.shared.tools.qemu.as_ref().context("QEMU is not installed")?;
        self.launch_with(trial, qemu)
    }

    fn launch_with(&self, trial: &Trial, qemu: &Qemu) -> Result<Running> {
        let mut command = Command::new(&qemu.path);
        command.args(&self.arguments).current_dir(trial.folder());
        let log = trial.path(&format!("{}.log", self.name));
        let mut process = Process::start(&command, &self.name, log, Pipes::Both)?;
        let (input, output) = process.pipes().context("QEMU without a console")?;
        let log = trial.path(&format!("{}.serial", self.name));
        let serial = Serial::new(input, output, log)?;
        Ok(Running { process, serial, qmp_path: self.qmp_path(trial), deadline: trial.deadline })
    }
}

/// A QEMU that runs. It is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    process: Process,
    serial: Serial,
    qmp_path: std::path::PathBuf,
    deadline: Deadline,
}

impl Running {
    /// Waits until the guest is up.
    ///
    /// # Errors
    /// QEMU ends, or the guest does not speak in time.
    pub(crate) fn boot(&mut self, trial: &Trial) -> Result<()> {
        let Self { process, serial, .. } = self;
        let deadline = trial.deadline.within(BOOT);
        deadline.wait_for("the guest does not come up", || {
            process.check()?;
            Ok(serial.is_up().then_some(()))
        })
    }

    /// Runs a command in the shell of the guest; its output and its status.
    ///
    /// # Errors
    /// It does not end in time, or the guest is gone.
    pub(crate) fn run(&mut self, command: &str, limit: Duration) -> Result<Answer> {
        let number = self.begin(command)?;
        self.end(number, command, limit)
    }

    /// Runs a command that has to succeed; its output.
    ///
    /// # Errors
    /// As [`run`](Self::run), or the command fails.
    pub(crate) fn must(&mut self, command: &str, limit: Duration) -> Result<String> {
        let answer = self.run(command, limit)?;
        anyhow::ensure!(
            answer.status == 0,
            "in the guest, `{command}` ended with {}: {}",
            answer.status,
            answer.text.trim()
        );
        Ok(answer.text)
    }

    /// Begins a command, which [`end`](Self::end) waits for.
    ///
    /// # Errors
    /// The guest is gone.
    pub(crate) fn begin(&mut self, command: &str) -> Result<u32> {
        self.process.check()?;
        self.serial.send(command)
    }

    /// Waits for a command that was begun.
    ///
    /// # Errors
    /// It does not end in time, or the guest is gone.
    pub(crate) fn end(&mut self, number: u32, command: &str, limit: Duration) -> Result<Answer> {
        let Self { process, serial, deadline, .. } = self;
        let what = format!("in the guest, `{command}` does not end");
        deadline.within(limit).wait_for(&what, || {
            let answer = serial.answer(number);
            if answer.is_none() {
                process.check()?;
            }
            Ok(answer)
        })
    }

    /// Everything that the first serial port has printed.
    pub(crate) fn screen(&self) -> String {
        self.serial.text()
    }

    /// Speaks to QEMU itself.
    ///
    /// # Errors
    /// It does not listen.
    pub(crate) fn qmp(&mut self) -> Result<Qmp> {
        let Self { process, qmp_path, deadline, .. } = self;
        let deadline = deadline.within(START);
        let stream = deadline.wait_for("QEMU has no QMP socket", || {
            process.check()?;
            Ok(std::os::unix::net::UnixStream::connect(&*qmp_path).ok())
        })?;
        Qmp::new(stream, deadline)
    }

    /// The process.
    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Turns the machine off from inside, and waits until QEMU has ended.
    ///
    /// # Errors
    /// It does not end in time, or with an error.
    pub(crate) fn power_off(mut self) -> Result<()> {
        self.begin("poweroff -f")?;
        let status: ExitStatus = self.process.wait(&self.deadline.within(START))?;
        anyhow::ensure!(status.success(), "QEMU ended with {status}");
        Ok(())
    }
}
