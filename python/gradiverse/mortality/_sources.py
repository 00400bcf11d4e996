"""Where data files are found: a path, GRADIVERSE_DATA, the cache, or the publisher.

Nothing is downloaded unless asked for; a download has a short timeout, lands in a cache
folder and is checked against the checksum recorded when it first arrived (publishers
revise their files, so that a fixed checksum would fail on every revision).
"""

import hashlib
import os
from pathlib import Path

import pandas as pd

FILES = {
    "italy": "italy_region_week_age_sex_2015_2020.csv.gz",
    "italy_coverage": "italy_region_coverage.csv.gz",
    "italy_population": "italy_population_2019_by_territory_age.csv.gz",
    "italy_official": "italy_dpc_region_day_2020-02-24_2021-06-30.csv.gz",
    "italy_official_national": "italy_dpc_national_day.csv.gz",
    "italy_class1": "italy_vintage_may04_class1_region_week_age_sex.csv.gz",
    "italy_class2": "italy_vintage_may04_class2_region_week_age_sex.csv.gz",
    "stmf": "stmf_country_week_age_bothsexes_2010_2021.csv.gz",
    "economist": "economist_country_week_allages.csv.gz",
    "economist_us": "economist_us_state_week_allages_2017_2023.csv.gz",
    "cdc": "us_cdc_state_week_allages_2014_2020.csv.gz",
    "cdc_vintages": "us_cdc_state_week_vintages_2020.csv.gz",
    "published": "published_reference_values.csv",
}

URLS = {
    "stmf": "https://www.mortality.org/File/GetDocument/Public/STMF/Outputs/stmf.csv",
    "cdc": "https://data.cdc.gov/api/views/3yf8-kanr/rows.csv?accessType=DOWNLOAD",
    "italy_official": "https://raw.githubusercontent.com/pcm-dpc/COVID-19/master/"
    "dati-regioni/dpc-covid19-ita-regioni.csv",
    "italy_official_national": "https://raw.githubusercontent.com/pcm-dpc/COVID-19/"
    "master/dati-andamento-nazionale/dpc-covid19-ita-andamento-nazionale.csv",
}
TIMEOUT = 5.0

REGIONS = {
    "friuli-venezia giulia": "Friuli Venezia Giulia",
    "friuli venezia giulia": "Friuli Venezia Giulia",
    "valle d'aosta/vallée d'aoste": "Valle d'Aosta",
    "valle d'aosta/vallee d'aoste": "Valle d'Aosta",
    "valle d'aosta": "Valle d'Aosta",
    "vallée d'aoste": "Valle d'Aosta",
    "trentino-alto adige/südtirol": "Trentino-Alto Adige/Südtirol",
    "trentino alto adige/südtirol": "Trentino-Alto Adige/Südtirol",
    "trentino-alto adige": "Trentino-Alto Adige/Südtirol",
    "trentino alto adige": "Trentino-Alto Adige/Südtirol",
    "p.a. trento": "Trento",
    "p.a. bolzano": "Bolzano",
    "provincia autonoma trento": "Trento",
    "provincia autonoma bolzano/bozen": "Bolzano",
    "provincia autonoma di trento": "Trento",
    "provincia autonoma di bolzano": "Bolzano",
    "lombardy": "Lombardia",
    "piedmont": "Piemonte",
    "tuscany": "Toscana",
    "apulia": "Puglia",
    "sicily": "Sicilia",
    "sardinia": "Sardegna",
    "emilia romagna": "Emilia-Romagna",
}


def region_name(name):
    """One spelling for an Italian region; other names come back trimmed.

    Examples
    --------
    >>> region_name("Valle d'Aosta / Vallée d'Aoste")
    "Valle d'Aosta"
    """
    text = " ".join(str(name).replace("’", "'").split())
    key = text.lower().replace(" /", "/").replace("/ ", "/")
    return REGIONS.get(key, text)


def folders():
    """Folders named by GRADIVERSE_DATA that may hold the files."""
    root = os.environ.get("GRADIVERSE_DATA")
    if not root:
        return []
    return [p for p in (Path(root), Path(root) / "mortality") if p.is_dir()]


def find(name, path=None):
    """Path of a known file, or None.

    Parameters
    ----------
    name : str
        Key of ``FILES``.
    path : path, optional
        A folder to look in (also its ``mortality`` folder) instead of GRADIVERSE_DATA.
    """
    places = folders() if path is None else [Path(path), Path(path) / "mortality"]
    stem = FILES[name]
    for folder in places:
        for candidate in (stem, stem.removesuffix(".gz")):
            if (folder / candidate).is_file():
                return folder / candidate
    return None


def locate(name, path, download=False):
    """A readable file for `name`: path (file or folder), GRADIVERSE_DATA, download.

    Raises
    ------
    FileNotFoundError
        With the places that were tried.
    """
    if path is not None:
        path = Path(path)
        if path.is_file():
            return path
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist; give a file or a folder")
        found = find(name, path)
        if found is None:
            raise FileNotFoundError(
                f"{path} holds no {FILES[name]}; name the file itself"
            )
        return found
    found = find(name)
    if found is None and download and name in URLS:
        found = fetch(name)
    if found is None:
        raise FileNotFoundError(
            f"no path given and {FILES[name]} not found: set GRADIVERSE_DATA to "
            "the folder "
            "that holds the data files, or give the path"
        )
    return found


def cache_folder():
    """Cache for downloads: GRADIVERSE_CACHE, else the user's cache folder."""
    import pooch

    root = os.environ.get("GRADIVERSE_CACHE")
    return Path(root) if root else Path(pooch.os_cache("gradiverse"))


def fetch(name, timeout=TIMEOUT):
    """Download a publisher's file into the cache; None when offline.

    The SHA-256 of the first arrival is kept beside the file, and a cached file that
    no longer matches it raises OSError.
    """
    import pooch

    folder = cache_folder()
    target = folder / f"{name}.csv"
    mark = folder / f"{name}.csv.sha256"
    if target.is_file() and mark.is_file():
        known = mark.read_text().split()[0]
        if sha256(target) != known:
            raise OSError(f"{target} does not match its recorded checksum; delete it")
        return target
    pooch.get_logger().setLevel("WARNING")  # nothing prints unless asked
    try:
        pooch.retrieve(
            URLS[name],
            known_hash=None,
            fname=target.name,
            path=folder,
            downloader=pooch.HTTPDownloader(timeout=timeout),
        )
    except Exception as error:  # any network failure means: go on without
        if isinstance(error, (KeyboardInterrupt, MemoryError)):
            raise
        return None
    mark.write_text(f"{sha256(target)}  {target.name}\n")
    return target


def sha256(path):
    """Hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        for block in iter(lambda: handle.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def read_table(path):
    """Any delimited text file as strings, columns stripped.

    Comment lines (#) in front, a byte-order mark, ';' or tab as separator and Latin-1
    are understood; compression goes by the file name.
    """
    options = {"dtype": str, "keep_default_na": True, "skipinitialspace": True}
    for encoding in ("utf-8-sig", "latin-1"):
        try:
            head = pd.read_csv(
                path,
                sep="\x01",
                header=None,
                nrows=40,
                dtype=str,
                encoding=encoding,
                engine="python",
                quoting=3,
            )
            lines = head[0].fillna("").tolist()
            skip = next((i for i, s in enumerate(lines) if not s.startswith("#")), 0)
            first = lines[skip] if lines else ""
            sep = max((",", ";", "\t", "|"), key=first.count)
            table = pd.read_csv(
                path, sep=sep, skiprows=skip, encoding=encoding, **options
            )
            table.columns = [" ".join(str(c).split()) for c in table.columns]
            return table
        except UnicodeDecodeError:
            continue
        except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
            raise ValueError(f"{path} is not a readable table: {error}") from None
    raise ValueError(f"{path} is neither UTF-8 nor Latin-1 text")
