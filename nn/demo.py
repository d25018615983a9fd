"""The main job, shown: train on two data sets, predict, and draw a worked example.

Each command is printed before it runs, so that it can be copied:

    python -m nn.demo
"""

import shlex
import sys
from pathlib import Path

from .cli import main

DATASETS = Path(__file__).parent / "datasets"

# A 2-2-2 sigmoid network with every weight named, as the texts that derive backpropagation by hand work it out.
NETWORK = """
net_h1 = w1*i1 + w2*i2 + b1; out_h1 = sigmoid(net_h1);
net_h2 = w3*i1 + w4*i2 + b1; out_h2 = sigmoid(net_h2);
net_o1 = w5*out_h1 + w6*out_h2 + b2; out_o1 = sigmoid(net_o1);
net_o2 = w7*out_h1 + w8*out_h2 + b2; out_o2 = sigmoid(net_o2);
E = 0.5*(t1 - out_o1)**2 + 0.5*(t2 - out_o2)**2
"""
NUMBERS = "i1=.05 i2=.10 w1=.15 w2=.20 w3=.25 w4=.30 w5=.40 w6=.45 w7=.50 w8=.55 b1=.35 b2=.60 t1=.01 t2=.99"

IRIS, MOONS = str(DATASETS / "iris.csv"), str(DATASETS / "moons.csv")
COMMANDS = (
    ["train", IRIS, "--target", "species", "--seed", "0", "--out", "demo/iris"],
    ["train", MOONS, "--target", "moon", "--hidden", "16,16", "--seed", "0", "--out", "demo/moons"],
    ["predict", "demo/iris", IRIS, "-o", "demo/iris/predictions.csv"],
    ["draw", " ".join(NETWORK.split()), *NUMBERS.split(), "-o", "demo/worked-2-2-2.svg"],
)


def demo() -> int:
    """Run the commands in turn; returns the first exit code that is not 0, or 0."""
    for command in COMMANDS:
        print(f"\n$ chainrule {shlex.join(command)}", flush=True)
        code = main(command)
        if code:
            return code
    print("\nThe pictures are demo/iris/graph.svg, demo/moons/graph.svg and demo/worked-2-2-2.svg.")
    return 0


if __name__ == "__main__":
    sys.exit(demo())
