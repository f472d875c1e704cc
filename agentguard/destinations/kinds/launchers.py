"""Programs that are known to start others.

These lists are a second line of defence and need not be complete: what lets any argument in is an entry ``X *`` of the
catalog, and that needs the owner's promise for every program there is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# They run what their arguments name, or code in them: never a destination.
_ALWAYS = re.compile(
    r"(?:[a-z]*sh|powershell|cmd|[gmn]?awk|original-awk|env|xargs|parallel|sudo|sudoedit|su|doas|pkexec|runuser|gosu"
    r"|su-exec|dumb-init|tini|catchsegv|nohup|timeout|gtimeout|nice|ionice|setsid|setpriv|setarch|linux(?:32|64)"
    r"|taskset|chrt|numactl|prlimit|softlimit|choom|cgexec|flock|lckdo|stdbuf|unbuffer|watch|watchexec|entr|strace|ltrace"
    r"|perf|valgrind|gdb|lldb|rr|chroot|fakeroot|proot|unshare|nsenter|bwrap|firejail|capsh|newgrp|sg|runcon|aa-exec"
    r"|systemd-run|systemd-inhibit|start-stop-daemon|daemonize|runsvdir|busybox|toybox|script|scriptreplay|expect"
    r"|screen|tmux|dtach|abduco|eval|exec|command|builtin|source|time|gtime|hyperfine|trap|at|batch|crontab"
    r"|run-parts|ssh-agent|dbus-run-session|dbus-launch|xvfb-run|rlwrap|torsocks|torify|proxychains4?|tsocks"
    r"|faketime|eatmydata|caffeinate|open|xdg-open|wine|wsl|rundll32|mshta|wscript|cscript|regsvr32|wmic|forfiles"
    r"|ld-linux[a-z0-9_.-]*|ld-musl[a-z0-9_.-]*|ld\.so)(?:\.exe)?",
    re.IGNORECASE,
)
# They run a file: what that does is in the file.
_RUNS_FILES = re.compile(
    r"(?:python[0-9.]*|pypy[0-9.]*|ipython[0-9]?|perl[0-9.]*|raku|ruby[0-9.]*|jruby|irb|node|nodejs|deno|bun|tsx|ts-node"
    r"|php[0-9.]*|lua(?:jit)?[0-9.]*|tclsh[0-9.]*|wish[0-9.]*|rscript|r|julia|octave|osascript|java|jshell|scala|groovy"
    r"|kotlin|elixir|erl|escript|ghci|runghc|guile|sbcl|racket|swift|dotnet|make|gmake|cmake|ninja|rake|just|task"
    r"|npx|pnpx|bunx|uvx|pipx)(?:\.exe)?",
    re.IGNORECASE,
)
# Of those that run files, the ones whose first argument is a name and never an option with code in it.
_NAMED_FIRST = re.compile(
    r"(?:g?make|cmake|ninja|rake|just|task|npx|pnpx|bunx|uvx|pipx|deno|bun|dotnet)(?:\.exe)?", re.IGNORECASE
)
_ONLY_ASKED = frozenset({"--version", "-version", "-V", "-v", "--help", "-h"})
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
# Any argument in, and these start another program: by an option, by a word of their own language, or elsewhere.
_BY_ARGUMENT = _names(
    """
    7z act ansible ansible-console ansible-playbook apt apt-get aptitude ar aria2c arj asterisk aws bazel bconsole
    bpftrace bsdtar buck bundle bundler byebug c89 c99 cargo cc certbot check_by_ssh choco clang clang++ cobc
    composer cpan cpio cpulimit csvtool curl cvs dagger dc ddd dialog diff dmesg dmsetup dnf docker docker-compose
    dotnet dpkg dvips earthly easy_install ed efax elvish emacs emacsclient enscript erl ex exiftool facter ffmpeg
    find ftp g++ gcc gcloud gdb gem genie gh ghc gimp ginsh git go gpg gradle gradlew grc gtar gtester hatch helm hg
    hping3 husky iftop info invoke ionice irb ispell jjs joe journalctl jrunscript jtag kubectl latex latexmk lerna
    less lftp ln logrotate logsave lualatex luatex mage mail mailx man mix mocha more mount msgfilter multitime mutt
    mvn mvnw mysql mysqldump nano nc ncat ncftp nerdctl netcat nix nix-shell nmap nox npm nsenter nvim nx octave
    openssl openvpn packer pacman pants paru pdb pdflatex pdftex pdm pg pgrep pic pico pip pip3 pipenv pnpm podman
    poetry posh pre-commit pry psftp psql pulumi puppet pytest rc restic rpm rpmbuild rpmdb rpmquery rpmverify rsync
    rustc rview rvim rye salt sam scanmem scp sed serverless service sftp skaffold skopeo slsh snap socat sops sort
    split sqlite3 sqlmap ssh ssh-add ssh-keygen ssh-keyscan sshpass sysctl systemctl tar tasksh tclsh tcpdump
    tdbtool telnet terraform terragrunt tilt tmate tofu tox troff tshark turbo unzip update-alternatives uv vagrant
    valgrind vercel vi view vim vimdiff vipw virsh visudo vite w3m wall watchman wget wireshark xdotool xelatex
    xetex yarn yay yq yum zathura zip zoxide zypper
    """
)
# What is certain by one word alone. Long options may be cut short, as GNU's readers allow.
_OPTIONS = {
    "find": re.compile(r"-(?:exec|execdir|ok|okdir)"),
    "git": re.compile(
        r"--(?:exec|upload-p|receive-p|config-e|extc|open-files-in-p).*|ext::.*|foreach|filter-branch", re.DOTALL
    ),
    "tar": re.compile(r"--(?:to-c|checkpoint-a|use-c|rsh-c|rmt-c|info-s|new-v).*|-[A-Za-z]*[IF].*", re.DOTALL),
    "rsync": re.compile(r"--(?:rsh|rsync-p).*|-[A-Za-z]*e.*", re.DOTALL),
    "ssh": re.compile(r"-[oF].*", re.DOTALL),
    "scp": re.compile(r"-[oFSD].*", re.DOTALL),
    "sftp": re.compile(r"-[oFSDs].*", re.DOTALL),
    "sort": re.compile(r"--comp.*", re.DOTALL),
    "zip": re.compile(r"-TT.*|--unzip-.*", re.DOTALL),
}
_OPTIONS.update({"gtar": _OPTIONS["tar"], "bsdtar": _OPTIONS["tar"], "gfind": _OPTIONS["find"]})


def starts_by_argument(words: Sequence[str]) -> bool:
    """Whether this command certainly runs what one of its arguments names, or code that stands in one."""
    name, rest = _name(words), words[1:]
    if _ALWAYS.fullmatch(name):
        return True
    if _RUNS_FILES.fullmatch(name):
        return not _is_a_file(name, rest)
    options = _OPTIONS.get(name)
    if options is not None and any(options.fullmatch(word) for word in rest):
        return True
    return name == "git" and _sets_git(rest)


def runs_a_file(words: Sequence[str]) -> bool:
    """Whether what this command does stands in a file, or in a package, that it names."""
    return _RUNS_FILES.fullmatch(_name(words)) is not None


def starts_others(words: Sequence[str]) -> bool:
    """Whether these words, and any after them, may certainly start another program."""
    name = _name(words)
    if starts_by_argument(words):
        return True
    open_ended = len(words) == 1 or words[-1].startswith("-")
    return open_ended and (name in _BY_ARGUMENT or runs_a_file(words))


def _name(words: Sequence[str]) -> str:
    return words[0].rpartition("/")[2].lower().removesuffix(".exe")


def _is_a_file(name: str, rest: Sequence[str]) -> bool:
    """A file first, or a module of Python; a question for the version; or words of a program that has no other."""
    if not rest:
        return _NAMED_FIRST.fullmatch(name) is not None
    first = rest[0]
    if first in _ONLY_ASKED and len(rest) == 1:
        return True
    if first == "-m" and name.startswith(("python", "pypy")):
        return len(rest) > 1 and _MODULE.fullmatch(rest[1]) is not None
    if first == "-jar" and name == "java":
        return len(rest) > 1
    if first == "eval" and name in ("deno", "bun"):
        return False
    return not first.startswith("-")


def _sets_git(rest: Sequence[str]) -> bool:
    """Whether a setting is given with the command: many of git's settings name a program."""
    for word in rest:
        if word == "-c" or (word.startswith("-c") and "=" in word):
            return True
        if not word.startswith("-"):
            return (word == "bisect" and "run" in rest) or (word == "clone" and not {"-c", "--config"}.isdisjoint(rest))
    return False
