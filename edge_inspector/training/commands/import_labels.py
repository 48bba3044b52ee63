"""`model import FORM SOURCE TARGET`: labels of another form as a folder with index.csv."""

import argparse

from edge_inspector.training.data.folder import Folder
from edge_inspector.training.data.importers import import_labels


def run(given: argparse.Namespace) -> int:
    """Write the folder and say what is in it."""
    count = import_labels(given.form, given.source, given.target, given.val_share, given.group_pattern)
    folder = Folder(given.target)
    splits = ", ".join(f"{name} {rows} rows" for name, rows in folder.splits().items())
    print(f"{given.target}: {count} images; classes {', '.join(folder.classes)}; {splits}")
    if not given.group_pattern:
        print("every image is a group of its own: where one part was photographed twice, give --group-pattern")
    return 0
