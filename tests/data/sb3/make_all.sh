#!/usr/bin/env bash
# Make all fixtures here anew: bash make_all.sh SCRATCH-FOLDER (about 8 GB, Python 3.11, PyPI).
#
# Old releases ask for versions that no longer install together, so each is installed alone, without
# its dependencies, into a folder of its own; those come from one of two environments.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1" && cd "$1"
export OMP_NUM_THREADS=1

environment() { # NAME REQUIREMENT...
    local name=$1
    shift
    test -d "$name" || { python3 -m venv "$name" && "$name/bin/pip" install -q "$@"; }
}
folder() { # NAME REQUIREMENT...: installed without dependencies
    local name=$1
    shift
    test -d "$name" || old/bin/pip install -q --no-deps --target "$name" "$@"
}
gym() { # VERSION: its setup.py is refused by today's setuptools
    environment setuptools "setuptools<66" "wheel<0.40"
    test -e "wheels/gym-$1-py3-none-any.whl" ||
        setuptools/bin/pip wheel -q --no-deps --no-build-isolation -w wheels "gym==$1"
    echo "wheels/gym-$1-py3-none-any.whl"
}
make() { # FOLDER ENVIRONMENT PYTHONPATH CASE...
    local to=$1 python=$2/bin/python path=$3
    shift 3
    PYTHONPATH=$path "$python" -W ignore "$here/make.py" "$here/$to" "$@"
}

environment old torch==2.13.0 numpy==1.23.5 cloudpickle==2.2.1 "pandas<2" "matplotlib<3.8" \
    importlib_metadata==4.13 "scipy<1.11" "opencv-python-headless<4.8" pillow
environment new torch==2.13.0 numpy==2.2.6 cloudpickle==3.0.0 pandas matplotlib \
    opencv-python-headless
test -d torch-1.13 || old/bin/pip install -q --target torch-1.13 torch==1.13.1 numpy==1.23.5 wheel

while read -r sb3 contrib simulator; do
    case $simulator in
    gym==0.26*) extra="gym-notices" ;;
    gymnasium==0.28*) extra="farama-notifications jax-jumpy" ;;
    gymnasium*) extra="farama-notifications" ;;
    *) extra="" simulator=$(gym "${simulator#gym==}") ;;
    esac
    # shellcheck disable=SC2086
    folder "$sb3" "stable-baselines3==${sb3%-gym*}" "sb3-contrib==$contrib" "$simulator" $extra
done <<'END'
1.0 1.0 gym==0.19.0
1.1.0 1.1.0 gym==0.21.0
1.2.0 1.2.0 gym==0.21.0
1.3.0 1.3.0 gym==0.21.0
1.5.0 1.5.0 gym==0.21.0
1.6.2 1.6.2 gym==0.21.0
1.6.2-gym-0.26 1.6.2 gym==0.26.2
1.7.0 1.7.0 gym==0.21.0
1.8.0 1.8.0 gym==0.21.0
2.0.0 2.0.0 gymnasium==0.28.1
2.1.0 2.1.0 gymnasium==0.28.1
2.2.1 2.2.1 gymnasium==0.29.1
2.3.2 2.3.0 gymnasium==0.29.1
2.4.1 2.4.0 gymnasium==1.0.0
2.5.0 2.5.0 gymnasium==1.0.0
2.6.0 2.6.0 gymnasium==1.0.0
2.7.1 2.7.1 gymnasium==1.2.1
2.8.0 2.8.0 gymnasium==1.2.1
END
test -d zoo || old/bin/pip install -q --target zoo "huggingface_hub<0.30" pyyaml tqdm requests wasabi
folder zoo-gym huggingface_sb3==2.2.5
folder zoo-gymnasium huggingface_sb3==3.0
for version in 1.6.2 1.8.0 2.3.0 2.7.0; do folder "zoo-$version" "rl_zoo3==$version"; done

make 1.0 old 1.0 box discrete multidiscrete multibinary gsde shared own-schedule \
    normalized a2c
make 1.1.0 old 1.1.0 discrete dict
make 1.2.0 old 1.2.0 shared-only
make 1.3.0 old 1.3.0 maskable
make 1.5.0 old 1.5.0 image trpo
make 1.6.2 old torch-1.13:1.6.2:zoo-1.6.2:zoo-gym:zoo zoo-schedule recurrent trpo normalized
make 1.6.2-gym-0.26 old 1.6.2-gym-0.26 discrete
make 1.7.0 old 1.7.0 list-of-dict maskable dict
make 1.8.0 old torch-1.13:1.8.0:zoo-1.8.0:zoo-gym:zoo separate zoo-schedule normalized
make 2.0.0 old 2.0.0 box a2c maskable
make 2.1.0 old 2.1.0 normalized dict
make 2.2.1 old 2.2.1 recurrent
make 2.3.2 old 2.3.2:zoo-2.3.0:zoo-gymnasium:zoo zoo-schedule multidiscrete
make 2.4.1 new 2.4.1 box recurrent-actor
make 2.5.0 new 2.5.0 normalized maskable
make 2.6.0 new 2.6.0 recurrent dict
make 2.7.1 new 2.7.1:zoo-2.7.0:zoo-gymnasium:zoo zoo-schedule trpo
make 2.8.0 new 2.8.0 gsde multibinary
