//! Our back-end, in a process of its own.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::link::{Link, Listens};
use crate::process::{Pipes, Process};
use crate::trial::Trial;

/// The address of the guest.
pub(crate) const GUEST_IP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);

/// The IPv6 address of the guest.
pub(crate) const GUEST_IPV6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);

/// The Ethernet address of the guest.
pub(crate) const GUEST_MAC: &str = "02:00:00:00:00:02";

/// `vhost-net-responder`, which is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct BackEnd {
    process: Process,
    command: Command,
    name: String,
    log: PathBuf,
    /// Who stands between is there as long as the back-end.
    link: Link,
    listens: Listens,
}

impl BackEnd {
    /// Starts it at an end of a link, and waits until it listens if it is to.
    ///
    /// # Errors
    /// It ends, or does not listen in time.
    pub(crate) fn start(
        trial: &Trial,
        link: &Link,
        listens: Listens,
        arguments: &[&str],
    ) -> Result<Self> {
        let name = link.back.file_name().context("the socket has no name")?.to_string_lossy();
        let name = format!("back-end-{name}");
        let mut command = program(trial)?;
        command.arg("--socket").arg(&link.back).args(["--ipv4", &GUEST_IP.to_string()]);
        command.args(["--ipv6", &GUEST_IPV6.to_string(), "--mac", GUEST_MAC]).args(arguments);
        if listens == Listens::Front {
            command.arg("--client");
        }
        let log = trial.path(&format!("{name}.log"));
        let process = Process::start(&command, &name, log.clone(), Pipes::None)?;
        let mut back_end = Self { process, command, name, log, link: link.clone(), listens };
        back_end.wait(trial)?;
        Ok(back_end)
    }

    /// Kills it without a warning, and starts it anew.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) fn restart(&mut self, trial: &Trial) -> Result<()> {
        self.kill();
        self.process = Process::start(&self.command, &self.name, self.log.clone(), Pipes::None)?;
        self.wait(trial)
    }

    /// Kills it without a warning. Its socket stays where it is, and nobody listens there.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// The process.
    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What it has said so far.
    ///
    /// # Errors
    /// Its log cannot be read.
    pub(crate) fn said(&self) -> Result<String> {
        let text = std::fs::read(&self.log)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Waits until it is ready for a front-end.
    fn wait(&mut self, trial: &Trial) -> Result<()> {
        if self.listens == Listens::Front {
            return self.process.check();
        }
        trial.deadline.within(Duration::from_secs(20)).wait_for(
            "the back-end does not listen",
            || {
                self.process.check()?;
                // What a killed one left at the path refuses connections.
                Ok(self.link.is_ready().then_some(()))
            },
        )
    }
}

/// What is started: the back-end, or the one that is wrong on purpose.
fn program(trial: &Trial) -> Result<Command> {
    if !trial.shared.faults.confuses_dhcp {
        return Ok(Command::new(&trial.shared.tools.responder));
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("faulty-back-end");
    Ok(command)
}
