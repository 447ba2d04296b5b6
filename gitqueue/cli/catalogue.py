"""The site's datasets, shown to anyone."""

from gitqueue.cli import show
from gitqueue.cli.place import Place
from gitqueue.errors import Mistake
from gitqueue.rules.documents import nearest


def tell(place: Place, name: str | None, json_: bool) -> None:
    """All datasets as a table, or one in full."""
    known = place.queue.history.site(place.queue.approved).datasets
    if name is not None and name not in known:
        raise Mistake(f"there is no dataset {name!r}{nearest(name, known)}", step="gitqueue datasets")
    rows = {
        dataset: {
            "title": spec.title,
            "description": spec.description.strip(),
            "assets": {
                asset: {"mock": f"datasets/{dataset}/{one.mock}", "description": one.description}
                for asset, one in spec.assets.items()
            },
            "identifiers": list(spec.identifiers),
        }
        for dataset, spec in known.items()
        if name in (None, dataset)
    }
    if json_:
        show.document(rows)
    elif name is None:
        show.table(
            ("dataset", "title", "assets"),
            [(dataset, spec.title, ", ".join(spec.assets)) for dataset, spec in known.items()],
        )
    else:
        _one(name, rows[name])


def _one(name: str, row: dict) -> None:  # type: ignore[type-arg]
    show.say(f"{name}: {row['title']}")
    if row["description"]:
        show.say(f"\n{row['description']}\n")
    for asset, spec in row["assets"].items():
        show.say(f"  {asset}: mock data in {spec['mock']}{': ' + spec['description'] if spec['description'] else ''}")
        show.say(f"    in a job: $GITQUEUE_DATA/{name}/{spec['mock'].rpartition('/')[2]}")
    if row["identifiers"]:
        show.say(f"  never leave: {', '.join(row['identifiers'])}")
