use super::super::interpreter::{Call, run};
use super::super::policy::{ENOSYS, errno_of};
use super::super::table::SYSCALLS;
use super::super::{compile::X32_BIT, default_filter};
use super::*;
use crate::capabilities::{ALL, DEFAULT_CAPABILITIES, mask};

/// Docker's own profile lies beside the project where it is developed, and is no part of it.
const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/spec/seccomp-default.json");

const SAMPLES: [u64; 19] = [
    0,
    1,
    2,
    7,
    8,
    16,
    37,
    38,
    39,
    40,
    41,
    0x2_0000,
    0x2_0008,
    0x1000_0000,
    0x7e02_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0028,
    u64::MAX,
];

/// What a policy says, read straight from its rules: nothing of the compiler is in it.
fn expected(policy: &Policy, arch: Arch, number: u32, arguments: [u64; 6]) -> Action {
    let Some(rules) = policy.arches.iter().find(|rules| rules.arch == arch) else { return KILL_PROCESS };
    if number > rules.newest() {
        return if errno_of(policy.default).is_some() { errno(ENOSYS) } else { policy.default };
    }
    let Some((_, rules)) = rules.rules.iter().find(|(known, _)| *known == number) else { return policy.default };
    let holds = |compare: &Compare| {
        let argument = arguments[usize::from(compare.index)];
        match compare.operator {
            Operator::Equal => argument == compare.value,
            Operator::NotEqual => argument != compare.value,
            Operator::Less => argument < compare.value,
            Operator::LessOrEqual => argument <= compare.value,
            Operator::Greater => argument > compare.value,
            Operator::GreaterOrEqual => argument >= compare.value,
            Operator::MaskedEqual(mask) => argument & mask == compare.value,
        }
    };
    let hit = rules.conditional.iter().find(|(conditions, _)| conditions.iter().all(holds));
    hit.map(|(_, action)| *action).or(rules.otherwise).unwrap_or(policy.default)
}

fn check_all(policy: &Policy, filter: &[Instruction], context: &str) {
    for arch in [Arch::X86_64, Arch::X86, Arch::X32].into_iter().filter(|_| Arch::NATIVE == Arch::X86_64) {
        for number in (0..600).chain([0xf_0001, 0x3fff_ffff]) {
            for sample in SAMPLES {
                let sample = if arch.is_wide() { sample } else { sample & 0xffff_ffff };
                let arguments = [sample, sample, 3, 4, 5, 6];
                let passed = if arch == Arch::X32 { number | X32_BIT } else { number };
                let call = Call { arch: arch.audit(), number: passed, arguments };
                let wanted = expected(policy, arch, number, arguments);
                assert_eq!(run(filter, &call), wanted, "{context}: {arch:?} {number} {sample:#x}");
            }
        }
    }
}

#[test]
fn the_default_policy_decides_as_the_reference() {
    let Ok(json) = std::fs::read_to_string(REFERENCE) else {
        eprintln!("skipped: the reference profile {REFERENCE} is not here");
        return;
    };
    let profile = Profile::parse(&json).unwrap();
    let single = (0..ALL.len()).map(|number| 1 << number);
    let sets = single.chain([0, u64::MAX >> 23, mask(&DEFAULT_CAPABILITIES).unwrap()]);
    for capabilities in sets {
        let policy = profile.policy(capabilities, (5, 10)).unwrap();
        check_all(&policy, &default_filter(capabilities).unwrap(), &format!("default for {capabilities:#x}"));
        check_all(&policy, &profile.filter(capabilities).unwrap(), &format!("profile for {capabilities:#x}"));
    }
}

#[test]
fn every_operator_is_compiled_as_it_is_meant() {
    let operators = ["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"];
    for operator in operators {
        for value in [0_u64, 40, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0028] {
            let json = format!(
                r#"{{"defaultAction": "SCMP_ACT_ALLOW", "archMap": [{{"architecture": "SCMP_ARCH_X86_64",
                    "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}}],
                    "syscalls": [{{"names": ["read", "openat2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5,
                    "args": [{{"index": 1, "value": {value}, "valueTwo": 8, "op": "SCMP_CMP_{operator}"}},
                             {{"index": 2, "value": 3, "op": "SCMP_CMP_EQ"}}]}}]}}"#
            );
            let profile = Profile::parse(&json).unwrap();
            check_all(
                &profile.policy(0, (5, 10)).unwrap(),
                &profile.filter(0).unwrap(),
                &format!("{operator} {value:#x}"),
            );
        }
    }
}

#[test]
fn long_programs_jump_far() {
    let names: Vec<&str> = SYSCALLS.iter().map(|row| row.name).collect();
    let entries: Vec<String> = (0..900)
        .map(|number| {
            let name = names[number * 7 % 300 + 30];
            format!(
                r#"{{"name": "{name}", "action": "SCMP_ACT_ERRNO", "errnoRet": {}, "args":
                    [{{"index": 0, "value": {number}, "op": "SCMP_CMP_EQ"}}]}}"#,
                number % 100 + 2
            )
        })
        .collect();
    let json = format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{}]}}"#, entries[..500].join(","));
    let profile = Profile::parse(&json).unwrap();
    check_all(&profile.policy(0, (5, 10)).unwrap(), &profile.filter(0).unwrap(), "long");
    let json = format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{}]}}"#, entries.join(","));
    assert!(Profile::parse(&json).unwrap().filter(0).is_err());
}

#[test]
fn foreign_architectures_end_the_process() {
    let filter = default_filter(0).unwrap();
    for arch in [0, 0xc000_0015, 0x8000_0016] {
        assert_eq!(run(&filter, &Call { arch, number: 0, arguments: [0; 6] }), KILL_PROCESS);
    }
}

#[test]
fn conditions_of_entries() {
    let entry = |json: &str| serde_json::from_str::<Entry>(json).unwrap();
    let kernel = entry(r#"{"names": [], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}}"#);
    assert!(kernel.applies(0, (5, 10)).unwrap());
    assert!(!kernel.applies(0, (4, 7)).unwrap());
    let caps = entry(r#"{"names": [], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_KILL", "CAP_CHOWN"]}}"#);
    assert!(caps.applies(0b10_0001, (5, 10)).unwrap());
    assert!(!caps.applies(0b10_0000, (5, 10)).unwrap());
    let other = entry(r#"{"names": [], "action": "SCMP_ACT_ALLOW", "excludes": {"arches": ["s390x"]}}"#);
    assert!(other.applies(0, (5, 10)).unwrap());
}

#[test]
fn nonsense_is_refused() {
    for json in [
        "{",
        r#"{"defaultAction": "SCMP_ACT_DANCE"}"#,
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "read", "action": "SCMP_ACT_NOTIFY"}]}"#,
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "read", "action": "SCMP_ACT_KILL",
            "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]}"#,
    ] {
        assert!(Profile::parse(json).and_then(|profile| profile.compile(0)).is_err(), "{json}");
    }
}

#[test]
fn the_table_is_sorted_for_searching() {
    assert!(SYSCALLS.is_sorted_by(|one, other| one.name < other.name));
}
