#!/bin/sh
# What public agents gain from transfer, by the command line alone.
#
#   sh benchmarks/public_agents.sh rl-trained-agents/ppo runs/public_agents [PROCESSES]
#
# The first folder holds CartPole-v1, MountainCar-v0, LunarLander-v2 and HalfCheetah-v3 of
# https://github.com/DLR-RM/rl-trained-agents (MIT), which SB3 1.0 and 1.3 saved in 2021. Each is
# imported, scored on 100 held-out episodes of today's task, and compared with scratch on a related
# one. An interrupted run goes on where it stopped. About 70 minutes in one process.
set -eu
agents=$1 out=$2 jobs=${3:-1}
export OMP_NUM_THREADS=1

fetch() { rltransfer import "$agents/$1/$1.zip" --out "$out/agents/$1" --episodes 100; }

compare() {
  source=$1 pair=$2
  shift 2
  rltransfer benchmark --source "$out/agents/$source" --pair "$pair" --seeds 5 --first-seed 100 \
    --jobs "$jobs" --out "$out/$pair" "$@"
}

for name in CartPole-v1 MountainCar-v0 LunarLander-v2 HalfCheetah-v3; do fetch "$name"; done
compare CartPole-v1 cartpole-heavy-pole --recipes full,by-zero-shot
compare MountainCar-v0 mountaincar-weak --recipes full,by-zero-shot
compare LunarLander-v2 lunarlander-heavy --recipes full,by-zero-shot --steps 100000 --points 10
short="--steps 50000 --points 10 --episodes 10"
compare HalfCheetah-v3 halfcheetah-slippery --recipes full,by-zero-shot $short
mkdir -p "$out/frozen"
cp -r "$out/halfcheetah-slippery/halfcheetah-slippery" "$out/frozen/" # the same scratch runs
rltransfer benchmark --source "$out/agents/HalfCheetah-v3" --pair halfcheetah-slippery --seeds 5 \
  --first-seed 100 --jobs "$jobs" --out "$out/frozen" --recipes full --obs-stats freeze $short
