"""Print how the Python that runs this compiles the schedules of SB3 before 2.7 and of the RL Zoo.

    for python in python3.6 ... python3.13; do $python make.py > 3.6.json; done

It must not use anything newer than Python 3.6. What is written are the arguments that cloudpickle
gives to CodeType, without the bytes that only serve tracebacks.
"""

import json


def constant_fn(val):
    def func(_):
        return val

    return func


def linear_schedule(initial_value):
    def func(progress_remaining):
        """Progress will decrease from 1 (beginning) to 0."""
        return progress_remaining * initial_value

    return func


def get_linear_fn(start, end, end_fraction):
    def func(progress_remaining):
        if (1 - progress_remaining) > end_fraction:
            return end
        else:
            return start + (1 - progress_remaining) * (end - start) / end_fraction

    return func


def get_schedule_fn(value_schedule):
    return lambda progress_remaining: float(value_schedule(progress_remaining))


# Not of SB3: each differs from one of the above in one thing.


def raised_schedule(initial_value):
    def func(progress_remaining):
        return progress_remaining**initial_value

    return func


def absolute_schedule(value_schedule):
    return lambda progress_remaining: abs(value_schedule(progress_remaining))


def two_arguments(initial_value):
    def func(progress_remaining, other=0):
        return progress_remaining * initial_value

    return func


def other_number(start, end, end_fraction):
    def func(progress_remaining):
        if (2 - progress_remaining) > end_fraction:
            return end
        else:
            return start + (2 - progress_remaining) * (end - start) / end_fraction

    return func


def arguments(function):
    code = function.__code__
    positional = [code.co_posonlyargcount] if hasattr(code, "co_posonlyargcount") else []  # 3.8
    qualified = [code.co_qualname] if hasattr(code, "co_qualname") else []  # 3.11
    counts = [code.co_argcount, *positional, code.co_kwonlyargcount]
    sizes = [code.co_nlocals, code.co_stacksize, code.co_flags]
    body = [code.co_code.hex(), code.co_consts, code.co_names, code.co_varnames]
    named = ["make.py", code.co_name, *qualified, code.co_firstlineno, *([""] * len(qualified)), ""]
    return [*counts, *sizes, *body, *named, code.co_freevars, code.co_cellvars]


FUNCTIONS = {
    "constant": constant_fn(1),
    "linear": linear_schedule(1),
    "between": get_linear_fn(1, 2, 3),
    "float": get_schedule_fn(1),
    "raised": raised_schedule(1),
    "absolute": absolute_schedule(1),
    "two-arguments": two_arguments(1),
    "other-number": other_number(1, 2, 3),
}

if __name__ == "__main__":
    found = {name: arguments(function) for name, function in FUNCTIONS.items()}
    lines = [json.dumps(name) + ": " + json.dumps(value) for name, value in found.items()]
    print("{\n" + ",\n".join(lines) + "\n}")
