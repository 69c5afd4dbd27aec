"""Shows `copier update` on a service that its team has edited: scaffolds the previous release, works in it as a team
does, updates it to the working tree, shows what came and what stayed, and runs its own tests on a real server.

What fails ends the demo with one sentence, after the end of what the failing command printed.
"""

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from demo import INTERRUPTS, interrupt, say, step
from harness import ACCESS_STYLES, DRIVERS, NAME, commit, git, is_seed, render
from releases import NEXT, MissingRelease, clone_with_releases, releases, update
from services import CommandFailed, Service
from update.edits import CI_OF_TEAM, work_for_months
from update.states import conflicts

TEAM = "renaming"
LINES_OF_A_DIFF = 40


def lines(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.rstrip().splitlines())


def show_diff(service: Path, *paths: str) -> None:
    """The start of the difference to the last commit, of these paths."""
    shown = git(service, "diff", "HEAD", "--", *paths).splitlines()
    print(lines("\n".join(shown[:LINES_OF_A_DIFF])))
    if len(shown) > LINES_OF_A_DIFF:
        print(f"  ... and {len(shown) - LINES_OF_A_DIFF} lines more: git diff", flush=True)


def previous(template: Path) -> str:
    """The last release that renders something else than the working tree, which may be a release itself."""
    tags = [str(release) for release in releases()]
    different = [tag for tag in tags if git(template, "diff", "--name-only", tag, NEXT, "--", "copier.yml", "template")]
    if not different:
        raise CommandFailed("The working tree renders what each release renders: there is nothing to update")
    return different[-1]


def demonstrate(folder: Path, driver: str, access: str) -> Service:
    with step("A copy of the template, with its releases tagged", f"git clone . {folder}/template"):
        template = clone_with_releases(folder / "template")
    last = previous(template)
    command = f"copier copy --vcs-ref {last} --defaults --data project_name={NAME} --data driver={driver} ..."
    with step(f"A service of the previous release, {last}", command):
        answers = {"driver": driver, "access": access, "ci": CI_OF_TEAM[TEAM]}
        service = render(template, folder / NAME, answers, str(last))
        commit(service, "Scaffold")
    with step("Months of a team's work: a slice, a table, edits of seeds and of the template's files", "git commit"):
        work_for_months(service, access, TEAM)
        git(service, "add", "--all")
        print(lines(git(service, "diff", "--cached", "--stat")))
        commit(service, "The work of months")
    with step("The update to what is in this working tree", "copier update -A"):
        update(service)
    git(service, "add", "--all", "--intent-to-add")
    if left := conflicts(service):
        raise CommandFailed(f"git diff --name-only --diff-filter=U: {', '.join(left)}")
    say("No conflicts")
    print("  $ git diff --name-only --diff-filter=U")
    changed = git(service, "diff", "--name-only", "HEAD").split()
    if touched := [name for name in changed if is_seed(name)]:
        raise CommandFailed(f"An update must not change what is the team's: {', '.join(touched)}")
    say(f"What it brought: changes in {len(changed)} files, in none of the team's own")
    print("  $ git diff --stat")
    print(lines(git(service, "diff", "--stat", "HEAD")))
    say("Where both had changed a file, the team's lines and the template's are there")
    print("  $ git diff app/main.py pyproject.toml")
    show_diff(service, "app/main.py", "pyproject.toml")
    return Service(service)


def run_its_tests(service: Service) -> None:
    with step("Is the service still whole? Its own checks", "uv sync && make check"):
        service.run("uv", "sync", "--quiet")
        service.run("make", "check")
    with step("And the team's own tests, on a real server", "make test-own"):
        print(lines(service.run("make", "--no-print-directory", "test-own", timeout=600).rstrip().splitlines()[-1]))
    commit(service.path, f"Update to {NEXT}")


def main() -> int | str:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--driver", choices=DRIVERS, default=DRIVERS[0])
    parser.add_argument("--access", choices=ACCESS_STYLES, default=ACCESS_STYLES[0])
    options = parser.parse_args()
    for number in INTERRUPTS:
        signal.signal(number, interrupt)
    folder = Path(tempfile.mkdtemp(prefix="fastapi-update-demo-"))
    try:
        run_its_tests(demonstrate(folder, options.driver, options.access))
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        return "error: the demo was interrupted; what it started is stopped"
    except MissingRelease as missing:
        return f"error: {missing}"
    except (CommandFailed, subprocess.CalledProcessError) as failure:
        return f"\n{failure}\nerror: the demo failed at the command above"
    say(f"The updated service is in {folder / NAME}, with the update as its last commit:")
    print(f"  cd {folder / NAME}")
    print("  git show --stat")
    return 0


if __name__ == "__main__":
    sys.exit(main())
