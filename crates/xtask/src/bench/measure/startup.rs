//! How soon an engine answers after it was started.

use anyhow::Result;
use serde_json::json;

use super::api::create;
use super::{Setting, timed};
use crate::bench::engines::{Engine, http};
use crate::bench::report::{Promise, Row};

/// Start to first answer with no container and with many stopped ones.
pub fn measure(setting: &mut Setting) -> Result<Vec<Row>> {
    let rounds = setting.rounds(10);
    let many = if setting.quick { 50 } else { 500 };
    let mut empty = Row::new("engine start to first answer, no container", "ms", Some(Promise::Limit(50.0)));
    let mut full = Row::new(format!("the same with {many} containers"), "ms", Some(Promise::Limit(150.0)));
    for engine in &mut setting.engines {
        if engine.socket().is_none() {
            continue;
        }
        // dockerd takes seconds for it; a few rounds are enough to compare with.
        let rounds = if engine.name() == "wharf" { rounds } else { rounds.min(3) };
        empty.add(engine.name(), starts(engine.as_mut(), rounds)?);
        let Some(mut creator) = http(engine.as_ref()) else { continue };
        let ids: Vec<String> = (0..many).map(|_| create(&mut creator, &json!(["true"]))).collect::<Result<_>>()?;
        full.add(engine.name(), starts(engine.as_mut(), rounds)?);
        let Some(mut remover) = http(engine.as_ref()) else { continue };
        for id in ids {
            remover.delete(&format!("/containers/{id}"))?.checked()?;
        }
    }
    Ok(vec![empty, full])
}

fn starts(engine: &mut dyn Engine, rounds: u32) -> Result<Vec<f64>> {
    (0..rounds)
        .map(|_| {
            engine.stop()?;
            Ok(timed(|| engine.start())?.0)
        })
        .collect()
}
