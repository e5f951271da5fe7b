//! Random kills under mixed load: what was acknowledged must be true afterwards, and nothing else may be there.
//!
//! Workers do random things to containers, images, volumes and networks of their own through the API and write down what
//! they were told ([`belief`]). Meanwhile the engine is killed with SIGKILL, again and again. After each kill a new engine
//! is started and every belief is held against what it says ([`judge`]): running containers are the same processes, no
//! line of their logs is missing, acknowledged objects are there and removed ones are not. An operation that was cut off
//! may have happened or not, but nothing in between. From time to time everything is removed and the census taken.

mod belief;
mod containers;
mod judge;
mod link;
mod things;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;

use self::containers::Containers;
use self::link::Link;
use self::things::Things;
use crate::TempRegistry;
use crate::engine::{Options, TempEngine};

/// How often everything is removed and counted, in kills.
const CENSUS_EVERY: usize = 50;

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How often the engine is killed.
    pub kills: usize,
    /// Workers that do containers; one more does images, volumes and networks.
    pub workers: usize,
    /// The longest time in milliseconds between a start of the engine and its death.
    pub longest: u64,
    /// Where the random numbers begin: the same seed asks for the same operations.
    pub seed: u64,
}

/// What came of it. That it came to an end means that no promise was broken.
#[derive(Debug, Default)]
pub struct Report {
    /// How often the engine was killed.
    pub kills: usize,
    /// Operations that were acknowledged.
    pub acknowledged: usize,
    /// Operations that a kill cut off.
    pub cut_off: usize,
    /// Monitors that were killed.
    pub monitors_killed: usize,
    /// Containers found running as the processes they were.
    pub survivors: usize,
    /// Lines of logs that were read and followed on each other.
    pub lines: usize,
    /// From each start of an engine to its first answer, in milliseconds.
    pub starts: Vec<f64>,
    /// Censuses of an empty house.
    pub censuses: usize,
}

/// Goes through the whole plan; `say` hears how far it is.
///
/// # Panics
/// With everything that was found wrong, at the first kill after which something is.
pub fn run(plan: Plan, options: Options, say: &mut dyn FnMut(&Report)) -> Report {
    let registry = TempRegistry::start();
    let mut engine = TempEngine::start_with(options);
    let mut rng = Rng::with_seed(plan.seed);
    let mut teams: Vec<Containers> = (0..plan.workers).map(|number| Containers::new(number, rng.fork())).collect();
    let mut things = Things::new(rng.fork(), registry.address());
    let mut report = Report::default();
    things.prepare(&mut Link::new(&engine));
    while report.kills < plan.kills {
        load_until_killed(&mut engine, &mut teams, &mut things, rng.u64(0..plan.longest));
        report.kills += 1;
        let start = Instant::now();
        engine.restart();
        report.starts.push(start.elapsed().as_secs_f64() * 1e3);
        let mut wrong = Vec::new();
        for team in &mut teams {
            wrong.extend(team.judge(&engine, &mut report));
        }
        wrong.extend(things.judge(&engine, &registry, &mut report));
        assert!(wrong.is_empty(), "after kill {} (seed {}):\n  {}", report.kills, plan.seed, wrong.join("\n  "));
        if report.kills.is_multiple_of(CENSUS_EVERY) || report.kills == plan.kills {
            empty(&mut engine, &mut teams, &mut things);
            report.censuses += 1;
        }
        say(&report);
    }
    let check = engine.cli(&["system", "check"]);
    assert_eq!(check.code, 0, "the store is damaged:\n{}{}", check.stdout, check.stderr);
    engine.finish();
    report
}

/// Everybody works until some time after the engine's death.
fn load_until_killed(engine: &mut TempEngine, teams: &mut [Containers], things: &mut Things, delay: u64) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for team in teams {
            let link = Link::new(engine);
            scope.spawn(|| work(&over, link, |link| team.step(link)));
        }
        let link = Link::new(engine);
        scope.spawn(|| work(&over, link, |link| things.step(link)));
        std::thread::sleep(Duration::from_millis(delay));
        engine.shoot();
        over.store(true, Ordering::Relaxed);
    });
    engine.kill9();
}

fn work(over: &AtomicBool, mut link: Link, mut step: impl FnMut(&mut Link)) {
    while !over.load(Ordering::Relaxed) && !link.is_dead() {
        step(&mut link);
    }
}

/// Removes all containers and networks and takes the census.
fn empty(engine: &mut TempEngine, teams: &mut [Containers], things: &mut Things) {
    engine.empty();
    for team in teams {
        team.clear();
    }
    things.clear();
    things.prepare(&mut Link::new(engine));
}
