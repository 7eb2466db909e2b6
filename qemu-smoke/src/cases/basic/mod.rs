//! Messages and protocol, without QEMU: our front-ends against our back-end in a process of its
//! own, and against one that answers as a script says.

mod negotiation;
mod packets;
mod peer;
mod recovery;
mod rings;
mod stream;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Case, Group};
use crate::back_end::BackEnd;
use crate::front::{FrontEnd, Wire};
use crate::link::{Link, Listens};
use crate::trial::Trial;

pub(super) use packets::{MAC, is_answer, question};

/// How long a case may take.
const LIMIT: Duration = Duration::from_secs(60);

const fn case(name: &'static str, shows: &'static str, run: fn(&mut Trial) -> Result<()>) -> Case {
    Case { name, group: Group::Basic, shows, needs: &[], limit: LIMIT, is_in_ci: true, run }
}

pub(super) const CASES: [&[Case]; 6] =
    [negotiation::CASES, rings::CASES, stream::CASES, packets::CASES, recovery::CASES, peer::CASES];

/// Our back-end, and where front-ends find it.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) back_end: BackEnd,
    pub(super) link: Link,
}

impl Served {
    /// Starts it, with more arguments.
    pub(super) fn start(trial: &Trial, arguments: &[&str]) -> Result<Self> {
        let link = Link::new(trial, "socket", Listens::Back)?;
        let back_end = BackEnd::start(trial, &link, Listens::Back, arguments)?;
        Ok(Self { back_end, link })
    }

    /// A front-end without rules.
    pub(super) fn wire(&self) -> Result<Wire> {
        Wire::connect(&self.link.front)
    }

    /// A strict front-end.
    pub(super) fn front_end(&self) -> Result<FrontEnd> {
        FrontEnd::connect(&self.link.front)
    }

    /// A strict front-end that has negotiated.
    pub(super) fn negotiated(&self, features: u64, protocol: u64) -> Result<FrontEnd> {
        let mut front_end = self.front_end()?;
        front_end.negotiate(features, protocol)?;
        Ok(front_end)
    }

    /// # Errors
    /// The next front-end is not served.
    pub(super) fn serves(&mut self) -> Result<()> {
        self.back_end.process().check()?;
        let features = self.wire()?.features().context("the next front-end is not served")?;
        ensure!(features != 0, "the next front-end is offered no features");
        Ok(())
    }

    /// Waits until it has said so many times how a front-end ended; gives what it said last.
    pub(super) fn ended(&mut self, trial: &Trial, count: usize) -> Result<String> {
        let what = "the back-end does not say how the front-end ended";
        trial.deadline.within(Duration::from_secs(10)).wait_for(what, || {
            self.back_end.process().check()?;
            let said = self.back_end.said()?;
            let mut ends = said.lines().filter(|line| line.starts_with("front-end "));
            Ok(ends.nth(count.saturating_sub(1)).map(str::to_owned))
        })
    }
}
