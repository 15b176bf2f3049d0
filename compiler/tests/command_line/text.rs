//! Models as text.

use super::graven::{DOUBLE, graven_in, write, write_npz};

#[test]
fn extents_come_from_the_inputs_or_the_flag() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "double.gir", DOUBLE);
    write_npz(folder.path(), "x.npz", &[("x", &[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])]);
    write_npz(folder.path(), "y.npz", &[("y", &[3, 2], &[2.0, 4.0, 6.0, 8.0, 10.0, 12.0])]);
    let check = "check double.gir --inputs x.npz --expect y.npz --rtol 0 --atol 0";
    for more in ["", "--dim N=3", "--dim N=1..=8", "--backend interp"] {
        let ended = graven_in(folder.path(), &format!("{check} {more}"));
        assert_eq!(ended.code, Some(0), "{more}\n{}{}", ended.stdout, ended.stderr);
    }
    for (more, message) in [("--dim N=4", "f32[4, 2]"), ("--dim N=9", "outside 1..=8"), ("--dim M=1", "`M`")]
    {
        let ended = graven_in(folder.path(), &format!("{check} {more}"));
        assert_eq!(ended.code, Some(2), "{more}");
        assert!(ended.stderr.contains(message), "{more}\n{}", ended.stderr);
    }
}

#[test]
fn errors_show_their_place() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "wrong.gir", &DOUBLE.replace("add %x, %x", "add %x, %z"));
    let ended = graven_in(folder.path(), "opt wrong.gir");
    assert_eq!((ended.code, &*ended.stdout), (Some(2), ""));
    assert!(ended.stderr.contains("wrong.gir:4:16"), "{}", ended.stderr);
    assert!(ended.stderr.contains("%1 = add %x, %z"), "{}", ended.stderr);
    assert!(!ended.stderr.contains('\u{1b}'), "no colours in a pipe");
}

#[test]
fn passes_run_in_the_given_order() {
    let folder = tempfile::tempdir().unwrap();
    let twice = DOUBLE
        .replace("  return %1", "  %2 = add %x, %x : f32[N, 2]\n  %3 = mul %1, %2 : f32[N, 2]\n  return %3");
    write(folder.path(), "twice.gir", &twice);
    let count = |passes: &str| {
        let ended = graven_in(folder.path(), &format!("opt twice.gir --passes {passes}"));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stdout.matches(" = add ").count()
    };
    assert_eq!((count("canonicalise"), count("cse")), (2, 1));
    let printed = graven_in(folder.path(), "opt twice.gir --passes canonicalise,cse --print-after-all");
    let places = ["after canonicalise", "after cse"].map(|text| printed.stderr.find(text));
    assert!(places[0].is_some() && places[0] < places[1], "{}", printed.stderr);
}

#[test]
fn remarks_name_what_was_done() {
    let folder = tempfile::tempdir().unwrap();
    let twice = DOUBLE.replace("  return %1", "  %2 = neg %1 : f32[N, 2]\n  return %2");
    write(folder.path(), "twice.gir", &twice);
    let ended = graven_in(folder.path(), "opt twice.gir --remarks");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("fuse applied: neg: pointwise kernel of add, neg"), "{}", ended.stderr);
    let silent = graven_in(folder.path(), "opt twice.gir");
    assert_eq!(silent.stderr, "");
}
