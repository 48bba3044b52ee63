"""`model import FORM SOURCE TARGET`: convert labels of another form into a folder with index.csv."""

import argparse

from edge_inspector.training.data.folder import Folder
from edge_inspector.training.data.importers import import_labels
from edge_inspector.training.data.label_forms import Convention


def run(given: argparse.Namespace) -> int:
    """Write the folder and print its content."""
    convention = Convention(given.class_attribute, given.boxes)
    count = import_labels(
        given.form,
        given.source,
        given.target,
        val_share=given.val_share,
        group_pattern=given.group_pattern,
        convention=convention,
        skip_unlabelled=given.unlabelled == "skip",
    )
    folder = Folder(given.target)
    splits = ", ".join(f"{name} {rows} rows" for name, rows in folder.splits().items())
    print(f"{given.target}: {count.images} images; classes {', '.join(folder.classes)}; {splits}")
    if count.unlabelled:
        taken = "left out" if given.unlabelled == "skip" else "taken for good; --unlabelled skip leaves them out"
        print(f"{count.unlabelled} images have no label file and were {taken}")
    if count.ignored:
        print(f"{count.ignored} images have a region to ignore and are not learned from (column `note`)")
    if not given.group_pattern:
        print("every image is a group of its own: where one part was photographed twice, give --group-pattern")
    return 0
